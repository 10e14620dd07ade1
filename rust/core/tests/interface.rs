//! What a user of the crate relies on beside the results: traits, sinks, the examples, and that
//! every test here runs.

#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../examples/conformance.rs"]
mod conformance;
#[allow(dead_code)]
#[path = "../examples/deltas.rs"]
mod deltas;
#[allow(dead_code)]
#[path = "../examples/events.rs"]
mod events;
#[allow(dead_code)]
mod vectors;

use std::error::Error;
use std::fmt::{Debug, Display};
use std::fs;
use std::path::Path;

use tailrace_core::{
    ChunkEncoder, ChunkFields, ChunkUsage, CompletionEncoder, Delta, DeltaDecoder, DeltaKind,
    DeltaOptions, DeltaSink, Dialect, EncoderState, End, Ending, ErrorKind, Event, EventDecoder,
    EventSink, FinishReason, Framing, Ids, Limit, LimitExceeded, Logprobs, MessageEncoder,
    MessageFields, OwnedDelta, OwnedEvent, OwnedSeal, OwnedToolCall, ReadEvent, ReplyError,
    ResponseEncoder, ResponseFields, ThinkingBlock, ToolCall, UnknownDialect, Usage, WholeMessage,
    WholeResponse,
};

fn is_value<T: Send + Sync + Unpin + Debug + Clone>() {}

fn is_kept<T: Send + Sync + Unpin + Debug + Clone + Eq + std::hash::Hash + 'static>() {}

fn is_name<T: Copy + Eq + std::hash::Hash + Debug + Display>() {}

fn is_error<T: Error + Clone + Eq + Send + Sync + 'static>() {}

#[test]
fn types_have_the_traits_that_users_expect() {
    is_value::<(EventDecoder, DeltaDecoder, ChunkEncoder)>();
    is_value::<(
        Event<'_>,
        ToolCall<'_>,
        ChunkFields<'_>,
        ChunkUsage,
        DeltaOptions,
        Ids,
        Usage,
        Limit,
    )>();
    is_value::<(CompletionEncoder, ResponseEncoder, MessageEncoder)>();
    is_value::<(WholeResponse<'_>, WholeMessage<'_>, Delta<'_>, Ending<'_>)>();
    is_value::<(ResponseFields<'_>, MessageFields<'_>, Logprobs, ThinkingBlock<'_>)>();
    is_kept::<OwnedEvent>();
    is_kept::<OwnedDelta>();
    is_kept::<(DeltaKind, OwnedToolCall, OwnedSeal)>();
    is_name::<Dialect>();
    is_name::<EncoderState>();
    is_name::<FinishReason>();
    is_name::<End>();
    is_name::<ErrorKind>();
    is_name::<Framing>();
    is_error::<LimitExceeded>();
    is_error::<ReplyError>();
    is_error::<UnknownDialect>();
}

#[cfg(feature = "sites")]
#[test]
fn so_have_the_types_of_pages() {
    use tailrace_core::{
        ChatWidget, NoSuchWidget, Page, PageProblem, PageScanner, PageTokens, ScanOptions,
    };

    fn crosses_threads<T: Send + Sync + Unpin + Debug>() {}

    crosses_threads::<PageScanner>();
    is_value::<(Page, ScanOptions, ChatWidget, PageTokens)>();
    is_name::<tailrace_core::Placement>();
    is_name::<tailrace_core::WidgetKind>();
    is_error::<NoSuchWidget>();
    is_error::<PageProblem>();
}

const REPLY: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n\
                       data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n";

fn read<S: DeltaSink + ?Sized>(sink: &mut S) {
    let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    decoder.feed(REPLY, sink);
    decoder.close(true, sink);
    assert_eq!(decoder.end(), End::Done);
}

#[test]
fn every_sink_gets_the_same_deltas() {
    let (mut joined, mut listed, mut heard) = (String::new(), Vec::<String>::new(), Vec::new());
    read(&mut joined);
    read(&mut listed);
    read(&mut |text: &str| heard.push(text.to_owned()));
    let mut behind_a_pointer = Vec::<String>::new();
    read::<dyn DeltaSink>(&mut behind_a_pointer);
    assert_eq!(joined, "Hello");
    assert_eq!(listed, ["Hel", "lo"]);
    assert_eq!((&heard, &behind_a_pointer), (&listed, &listed));
}

/// A sink that has a method for more than text, and says nothing else of itself.
#[derive(Default)]
struct Heard(Vec<String>);

impl DeltaSink for Heard {
    fn text(&mut self, delta: &str) {
        self.0.push(delta.to_owned());
    }

    fn tool_call(&mut self, piece: ToolCall<'_>) {
        self.0.push(format!("{:?} {}", piece.name, piece.arguments));
    }

    fn events(&mut self) -> Option<&mut dyn EventSink> {
        Some(self)
    }
}

impl EventSink for Heard {
    fn event(&mut self, event: ReadEvent<'_>) {
        self.0.push(event.json.len().to_string());
    }
}

const CALL: &str = r#"{"choices":[{"delta":{"content":"Hm","tool_calls":[{"function":{"name":"tide","arguments":"{}"}}]}}]}"#;

#[test]
fn a_sink_gets_all_that_it_has_a_method_for() {
    let mut heard = Heard::default();
    let mut decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    decoder.feed(format!("data: {CALL}\n\n").as_bytes(), &mut heard);
    assert_eq!(heard.0, ["Hm", "Some(\"tide\") {}", &CALL.len().to_string()]);
    let behind_a_pointer: &mut dyn DeltaSink = &mut heard;
    decoder.feed(format!("data: {CALL}\n\n").as_bytes(), behind_a_pointer);
    assert_eq!(heard.0.len(), 6);
}

#[test]
fn the_example_events_writes_the_events_of_every_vector() {
    for (name, case) in vectors::cases("sse") {
        if case["max_event_bytes"].is_null() {
            let mut output = Vec::new();
            events::run(&*vectors::bytes(&case["input"]), &mut output).unwrap();
            let events = case["events"].as_array().unwrap().iter();
            let line = |event: &serde_json::Value| {
                let [kind, id] = ["event", "id"]
                    .map(|key| String::from_utf8(vectors::bytes(&event[key])).unwrap());
                format!(
                    "{kind}\t{id}\t{:?}\n",
                    String::from_utf8(vectors::bytes(&event["data"])).unwrap()
                )
            };
            assert_eq!(
                String::from_utf8(output).unwrap(),
                events.map(line).collect::<String>(),
                "{name}"
            );
        }
    }
}

#[test]
fn the_example_deltas_writes_the_text_of_every_vector() {
    for (name, case) in vectors::cases("deltas") {
        let options = [
            "status",
            "content_type",
            "failure_tail",
            "max_event_bytes",
            "max_body_bytes",
            "complete",
        ];
        if options.iter().all(|option| case[option].is_null()) {
            let dialect = case["dialect"].as_str().unwrap().parse().unwrap();
            let mut output = Vec::new();
            let decoder =
                deltas::run(dialect, &*vectors::bytes(&case["input"]), &mut output).unwrap();
            assert_eq!(output, vectors::bytes(&case["text"]), "{name}");
            assert_eq!(decoder.end().as_str(), case["end"], "{name}");
        }
    }
}

/// The kit itself tries every rule, by hand: `python -m tailrace.conformance`.
#[test]
fn the_example_conformance_speaks_the_protocol() {
    for (kind, chunks, events) in [
        (
            "sse",
            r#"["aWQ6IDE=", "CmRhdGE6IOKYgwoKZGF0YTog"]"#,
            r#""events":[["message","☃","1",null]]"#,
        ),
        (
            "deltas",
            r#"["eyJjaG9pY2VzIjpbeyJtZXNzYWdlIjp7", "ImNvbnRlbnQiOiJoaSJ9fV19"]"#,
            r#""text":["hi"]"#,
        ),
    ] {
        let requests = format!(
            "{{\"tailrace-conformance\":1,\"kind\":\"{kind}\"}}\n{{\"case\":7,\"chunks\":{chunks}}}\n\
             {{\"case\":8,\"chunks\":[\"ZGF0YTogeAoK\"],\"max_event_bytes\":6}}\n"
        );
        let mut output = Vec::new();
        conformance::run(requests.as_bytes(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines[0].contains(r#""tailrace-conformance":1"#), "{output}");
        assert!(
            lines[1].contains(r#""case":7"#) && lines[1].contains(r#""failure":null"#),
            "{output}"
        );
        assert!(lines[1].contains(events), "{output}");
        assert!(
            lines[2].contains(r#""case":8"#) && lines[2].contains("max_event_bytes"),
            "{output}"
        );
    }
}

/// Programs are named in the manifest and modules in programs, so one could be forgotten.
#[test]
fn every_file_of_tests_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let (manifest, modules) = (read("Cargo.toml"), read("core.rs") + &read("heap.rs"));
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "rs") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_program = manifest.contains(&format!("path = \"{name}\""));
            let is_module = modules.contains(&format!("\nmod {};\n", name.replace(".rs", "")));
            assert!(is_program || is_module, "{name} is in neither Cargo.toml nor a program");
        }
    }
}
