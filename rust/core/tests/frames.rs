//! What servers get wrong in the frames of their replies, in every dialect and at every cut: errors
//! in any dress, missing empty lines, other output on the same line; and replies of one dialect
//! read as another, or as whichever they are.

use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, ErrorKind};

use crate::vectors;

/// A dialect, an event that adds "What", and one that adds " runs" and ends the answer.
const DIALECTS: [(Dialect, &str, &str); 8] = [
    (
        Dialect::OpenAi,
        r#"data: {"choices":[{"delta":{"content":"What"}}]}"#,
        r#"data: {"choices":[{"delta":{"content":" runs"},"finish_reason":"stop"}]}"#,
    ),
    (
        Dialect::OpenAiResponses,
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"What\"}",
        r#"data: {"type":"response.output_text.delta","delta":" runs"}
event: response.completed
data: {"type":"response.completed","response":{"status":"completed"}}"#,
    ),
    (
        Dialect::Anthropic,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"What\"}}",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" runs"}}
event: message_stop
data: {"type":"message_stop"}"#,
    ),
    (
        Dialect::Gemini,
        r#"data: {"candidates":[{"content":{"parts":[{"text":"What"}]}}]}"#,
        r#"data: {"candidates":[{"content":{"parts":[{"text":" runs"}]},"finishReason":"STOP"}]}"#,
    ),
    (
        Dialect::Ollama,
        r#"data: {"message":{"content":"What"},"done":false}"#,
        r#"data: {"message":{"content":" runs"},"done":true}"#,
    ),
    (
        Dialect::AiPower,
        r#"data: {"id":"c","choices":[{"delta":{"content":"What"}}]}"#,
        r#"data: {"id":"c","choices":[{"delta":{"content":" runs"},"finish_reason":"stop"}]}"#,
    ),
    (
        Dialect::AiPkit,
        "event: message_start\ndata: {\"message_id\":\"m\"}\n\ndata: {\"delta\":\"What\"}",
        "data: {\"delta\":\" runs\"}\nevent: done\ndata: {\"finished\":true}",
    ),
    (
        Dialect::AiEngine,
        r#"data: {"type":"live","data":"What"}"#,
        r#"data: {"type":"live","data":" runs"}
data: {"type":"end","data":"{\"success\":true,\"reply\":\"What runs\"}"}"#,
    ),
];

/// Errors as servers dress them, all with the word "gone".
const ERRORS: [&str; 22] = [
    "event: error\ndata: {\"code\":\"c\",\"message\":\"gone\"}\n\n",
    "event: error\ndata: gone\n\n",
    "event: error\ndata: \"gone\"\n\n",
    "event:error\ndata:[{\"error\":{\"message\":\"gone\"}}]\n\n",
    "error: {\"code\":400,\"message\":\"gone\"}\n\ndata: [DONE]\n\n",
    "error: {\"code\":400,\"message\":\"gone\"}\ndata: [DONE]\n",
    "error: gone\n\n",
    "data: error: gone\n\n",
    "data: Error: gone\n\ndata: [DONE]\n\n",
    "data: [ERROR] gone\n\n",
    "data: {\"object\":\"error\",\"message\":\"gone\",\"code\":500}\n\ndata: [DONE]\n\n",
    "data: {\"code\":1301,\"message\":\"gone\"}\n\n",
    "data: {\"detail\":\"gone\"}\n\n",
    "data: {\"detail\":[{\"loc\":[\"body\"],\"msg\":\"gone\"}]}\n\n",
    "data: {\"error_message\":\"gone\"}\n\n",
    "data: {\"error\":{\"message\":\"gone\"}}\n\ndata: [DONE]\n\n",
    "data: [{\"error\":{\"message\":\"gone\"}}]\n\n",
    "{\"error\":{\"message\":\"gone\"}}\n",
    "{\"error\":{\"message\":\"gone\"}}",
    "<br />\n<b>Fatal error</b>:  Uncaught Exception: gone in /srv/x.php:6\nStack trace:\n#0\n",
    "data: {\"cho\ndata: {\"error\":{\"message\":\"gone\"}}\n\n",
    "data: {\"cho\n{\"error\":{\"message\":\"gone\"}}\n\n",
];

/// What becomes of an input, however it is cut.
struct Read {
    text: String,
    decoder: DeltaDecoder,
}

fn read(new: impl Fn() -> DeltaDecoder, input: &str) -> Read {
    let mut first: Option<Read> = None;
    for chunks in vectors::splits(input.as_bytes(), 1) {
        let (mut text, mut decoder) = (String::new(), new());
        for chunk in &chunks {
            decoder.feed(chunk, &mut text);
        }
        decoder.close(true, &mut text);
        let told = |text: &str, decoder: &DeltaDecoder| {
            let counts = (decoder.events(), decoder.bad_events());
            (text.to_owned(), decoder.end(), decoder.error().cloned(), counts)
        };
        match &first {
            Some(read) => {
                assert_eq!(told(&text, &decoder), told(&read.text, &read.decoder), "{input:?}");
            }
            None => first = Some(Read { text, decoder }),
        }
    }
    first.unwrap()
}

fn of(dialect: Dialect) -> impl Fn() -> DeltaDecoder {
    move || DeltaDecoder::new(dialect, DeltaOptions::default())
}

#[test]
fn an_error_in_any_dress_ends_the_reply_behind_its_text() {
    for (dialect, text, _) in DIALECTS {
        for error in ERRORS {
            let read = read(of(dialect), &format!("{text}\n\n{error}"));
            let told = format!("{dialect} {error:?}: {:?}", read.decoder.error());
            assert_eq!((read.text.as_str(), read.decoder.end()), ("What", End::Failed), "{told}");
            let error = read.decoder.error().unwrap();
            assert_eq!(error.kind, ErrorKind::Upstream, "{told}");
            assert!(error.message.contains("gone"), "{told}");
        }
    }
}

#[test]
fn what_is_no_event_is_shown_where_the_reply_breaks_off() {
    for (dialect, text, _) in DIALECTS {
        for other in ["overheated: stop\n", "data: too hot\n\n", "data: {\"note\":\"too hot\"}\n\n"]
        {
            let read = read(of(dialect), &format!("{text}\n\n{other}"));
            let error = read.decoder.error().unwrap();
            assert_eq!((read.text.as_str(), error.kind), ("What", ErrorKind::Truncated));
            assert!(error.message.contains("hot") || error.message.contains("heated"), "{error}");
        }
    }
}

#[test]
fn empty_lines_may_be_missing() {
    for (dialect, text, end) in DIALECTS {
        let stream = format!("{text}\n{end}\n").replace("\n\n", "\n");
        for stream in [stream.clone(), stream.replace('\n', "\r\n"), stream.replace('\n', "\n   ")]
        {
            let read = read(of(dialect), &stream);
            assert_eq!(read.text, "What runs", "{dialect} {stream:?} {:?}", read.decoder.error());
            assert!(matches!(read.decoder.end(), End::Done | End::Stopped), "{dialect}");
            assert_eq!(read.decoder.bad_events(), 0, "{dialect}");
        }
    }
}

#[test]
fn a_stream_without_empty_lines_runs_as_it_arrives() {
    let mut decoder = of(Dialect::OpenAi)();
    let mut text = String::new();
    for (count, word) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let line = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n");
        decoder.feed(line.as_bytes(), &mut text);
        assert_eq!(text, &"abcd"[..if count == 0 { 0 } else { count + 1 }]);
    }
}

#[test]
fn other_output_may_stand_in_front_on_the_same_line() {
    for (dialect, text, end) in DIALECTS {
        for debris in ["<input type=\"hidden\" />", "0", "Notice: {closure} in x ", "\u{feff}0\n"] {
            let stream = format!("{debris}{text}\n\n{debris}{end}\n\n")
                .replace("\nevent: message_s", "\n\nevent: message_s");
            let read = read(of(dialect), &stream);
            assert_eq!(read.text, "What runs", "{dialect} {stream:?} {:?}", read.decoder.error());
        }
    }
}

/// A dialect, and a body of it that says "What runs".
const BODIES: [(Dialect, &str); 8] = [
    (Dialect::OpenAi, r#"{"choices":[{"message":{"content":"What runs"}}]}"#),
    (
        Dialect::OpenAiResponses,
        r#"{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"What runs"}]}]}"#,
    ),
    (
        Dialect::Anthropic,
        r#"{"type":"message","content":[{"type":"text","text":"What runs"}],"stop_reason":"end_turn"}"#,
    ),
    (Dialect::Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"What runs"}]}}]}"#),
    (Dialect::Ollama, r#"{"message":{"content":"What runs"},"done":true}"#),
    (Dialect::AiPower, r#"{"status":"success","msg":"x","data":"What runs"}"#),
    (Dialect::AiPkit, r#"{"success":true,"data":{"reply":"What runs"}}"#),
    (Dialect::AiEngine, r#"{"success":true,"reply":"What runs","images":null}"#),
];

#[test]
fn anything_may_stand_around_a_body() {
    for (dialect, body) in BODIES {
        for before in ["", "0", "<input />", "Notice: {closure}\n", "\u{feff}\n"] {
            for behind in [
                "",
                "0",
                "\n<!-- cached -->",
                "\0\0",
                "\n[DONE]",
                "\ndata: [DONE]\n\n",
                "\n\n: ping\n\n",
                "\n<br />\n<b>Notice</b>: {x}",
                body,
            ] {
                let input = format!("{before}{body}{behind}");
                let read = read(of(dialect), &input);
                assert_eq!(
                    read.text,
                    "What runs",
                    "{dialect} {input:?} {:?}",
                    read.decoder.error()
                );
                assert_eq!(read.decoder.end(), End::Done, "{dialect} {input:?}");
            }
        }
    }
}

#[test]
fn a_reply_of_another_dialect_is_told_by_name() {
    let streams = DIALECTS.map(|(dialect, text, _)| (dialect, format!("{text}\n\n")));
    let bodies = BODIES.map(|(dialect, body)| (dialect, body.to_owned()));
    for (theirs, reply) in streams.into_iter().chain(bodies) {
        for ours in Dialect::ALL.iter().copied().filter(|ours| *ours != Dialect::Text) {
            let is_shared = |dialect| matches!(dialect, Dialect::OpenAi | Dialect::AiPower);
            if ours == theirs || (is_shared(ours) && is_shared(theirs)) {
                continue;
            }
            let read = read(of(ours), &reply);
            // Where the answer stands in the same place, it is delivered.
            if read.text == "What runs" {
                continue;
            }
            let told = || format!("{ours} reads {reply:?}: {:?} {}", read.text, read.decoder.end());
            let error = read.decoder.error().unwrap_or_else(|| panic!("{}", told()));
            // A WordPress body has a message that could be an error's.
            let is_message = theirs == Dialect::AiPower && error.kind == ErrorKind::Upstream;
            let name = if theirs == Dialect::AiPower && reply.contains("choices") {
                Dialect::OpenAi
            } else {
                theirs
            };
            let expected = format!("look like {name}'s");
            assert!(
                is_message || error.message.contains(&expected),
                "{ours} reads {reply:?}: {error}"
            );
            assert_eq!(read.text, "", "{ours} reads {reply:?}");
        }
    }
}

#[test]
fn the_first_event_or_object_tells_the_dialect() {
    let detecting = || DeltaDecoder::detecting(DeltaOptions::default());
    let streams = DIALECTS.map(|(dialect, text, end)| {
        let is_openai = dialect == Dialect::AiPower;
        (if is_openai { Dialect::OpenAi } else { dialect }, format!("{text}\n\n{end}\n\n"))
    });
    let bodies = BODIES.map(|(dialect, body)| (dialect, body.to_owned()));
    for (dialect, reply) in streams.into_iter().chain(bodies) {
        for reply in [reply.clone(), format!(": ping\n\n{reply}"), format!("\n\n{reply}")] {
            if reply.starts_with(": ") && reply.contains("\n\n{") {
                continue;
            }
            let read = read(detecting, &reply);
            assert_eq!(read.decoder.dialect(), Some(dialect), "{reply:?}");
            assert_eq!(read.text, "What runs", "{reply:?} {:?}", read.decoder.error());
        }
    }
    for reply in
        ["", "hello", "data: [DONE]\n\n", "event: error\ndata: gone\n\n", "{\"error\":\"gone\"}"]
    {
        let (as_openai, found) = (read(of(Dialect::OpenAi), reply), read(detecting, reply));
        assert_eq!(found.decoder.error(), as_openai.decoder.error(), "{reply:?}");
    }
}

#[test]
fn lines_without_their_ends_are_told_as_that() {
    let lines = r#"data: {"choices":[{"delta":{"content":"What"}}]}"#;
    let read = read(of(Dialect::OpenAi), &format!("{lines}{lines}data: [DONE]"));
    assert!(read.decoder.error().unwrap().message.contains("its lines have no ends"));
}

#[test]
fn where_events_answer_an_object_in_front_of_them_is_debris() {
    for (dialect, text, end) in DIALECTS {
        for debris in [r#"0{"message":"starting"}"#, r#"Notice: {"level":"warn"}"#] {
            let input = format!("{debris}\n{text}\n\n{end}\n\n");
            let read = read(of(dialect), &input);
            assert_eq!(read.text, "What runs", "{input:?} {:?}", read.decoder.error());
        }
    }
}

#[test]
fn a_form_in_place_of_an_answer_is_an_error_that_says_so() {
    const FORM: &str = "event: display_form_event\ndata: {\"form_id\":7}\n\n";
    const DONE: &str = "event: done\ndata: {\"finished\":true}\n\n";
    for input in [FORM.to_owned(), format!("{FORM}{DONE}"), format!("{FORM}data: [DONE]\n\n")] {
        let decoder = read(of(Dialect::AiPkit), &input).decoder;
        let error = decoder.error().unwrap();
        assert_eq!((decoder.end(), error.kind), (End::Failed, ErrorKind::Upstream), "{input:?}");
        assert_eq!(error.message, "the site shows a form in place of an answer", "{input:?}");
    }
    let answer = format!("data: {{\"delta\":\"What\"}}\n\n{FORM}{DONE}");
    let read = read(of(Dialect::AiPkit), &answer);
    assert_eq!((&*read.text, read.decoder.end()), ("What", End::Done));
}

#[test]
fn an_error_key_ends_every_event_that_is_part_of_an_answer() {
    for name in ["message", "message_start", "openai_response_id"] {
        let input = format!(
            "event: {name}\ndata: {{\"message_id\":\"m\",\"id\":\"r\",\"error\":\"gone\"}}\n\n"
        );
        let decoder = read(of(Dialect::AiPkit), &input).decoder;
        assert_eq!(decoder.error().map(|error| &*error.message), Some("gone"), "{input:?}");
    }
}

#[test]
fn a_message_is_one_short_line_and_raw_keeps_the_rest() {
    let long = "line one\\r\\nline two \\u2028 ".repeat(5000);
    let told = long.len();
    let error = format!("{{\"error\":{{\"message\":\"{long}\"}}}}");
    for (dialect, text, _) in DIALECTS {
        for input in [format!("{text}\n\nevent: error\ndata: {error}\n\n"), error.clone()] {
            let mut decoder = of(dialect)();
            decoder.feed(input.as_bytes(), &mut String::new());
            decoder.close(true, &mut String::new());
            let error = decoder.error().unwrap();
            assert!(error.message.starts_with("line one line two line one"), "{dialect}");
            assert!(error.message.ends_with('…') && error.message.chars().count() <= 300);
            assert!(error.message.lines().count() == 1 && !error.message.contains('\u{2028}'));
            assert!(
                told > 64 * 1024 && error.raw.len() == 64 * 1024,
                "{dialect} {}",
                error.raw.len()
            );
        }
    }
    // The beginning of a password is none of the message.
    let url = format!("{} https://user:password-{}@host/", "x".repeat(250), "y".repeat(60));
    let mut decoder = of(Dialect::OpenAi)();
    decoder.feed(format!("error: {url}\n\ndata: [DONE]\n\n").as_bytes(), &mut String::new());
    let error = decoder.error().unwrap();
    assert_eq!(error.message, format!("{}…", "x".repeat(250)));
    assert!(error.raw.contains(&url));
}

#[test]
fn a_character_parted_over_two_words_of_an_error_is_one() {
    let word = |word: &str| {
        format!("event: message\ndata: {{\"choices\":[{{\"delta\":{{\"content\":{word}}}}}]}}\n\n")
    };
    for (words, message) in [
        (&[r#""a\ud83c""#, r#""\udf89b""#][..], "a🎉b"),
        (&[r#""a\ud83c""#, r#""""#, r#""\udf89b""#], "a🎉b"),
        (&[r#""a\ud83c""#, r#""b""#], "a\u{fffd}b"),
        (&[r#""a\ud83c""#], "a\u{fffd}"),
        (&[r#""a\ud83c""#, r#""no "key" here""#], "a\u{fffd}no \"key\" here"),
        (&[r#""HTTP ""#, "429"], "HTTP 429"),
    ] {
        let input: String = words.iter().map(|each| word(each)).collect();
        for end in ["", "data: [DONE]\n\n", "data: [LIMITED]\n\n"] {
            let decoder = read(of(Dialect::AiPower), &format!("{input}{end}")).decoder;
            let told = decoder.error().map(|error| &*error.message);
            assert_eq!(told, Some(message), "{input:?}{end:?}");
        }
    }
}
