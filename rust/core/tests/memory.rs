//! What a decoder holds between reads and at most within one, by an allocator that counts.

use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, EventDecoder};

use crate::counting::held;

/// Takes deltas and keeps none.
struct Nowhere;

impl DeltaSink for Nowhere {
    fn text(&mut self, _: &str) {}

    fn wants_everything(&self) -> bool {
        false
    }
}

/// An event as OpenAI sends it, with this content.
fn event(content: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-Bx7Kp2QvTn4sLw9ZrYd5uGfHc3MjE\",\"object\":\"chat.completion.chunk\",\
         \"created\":1763640000,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\
         \"system_fingerprint\":\"fp_07871e2ad8\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{content}\"}},\
         \"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"x7Q\"}}\n\n"
    )
}

fn fed(dialect: Dialect, reads: &[&[u8]]) -> DeltaDecoder {
    let mut decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
    for read in reads {
        decoder.feed(read, &mut Nowhere);
    }
    decoder
}

#[test]
fn a_stream_that_rests_between_two_events_holds_less_than_a_kilobyte() {
    let (small, large) = (event("a\\n"), event(&"\\u00e9".repeat(100_000)));
    let cut = large.len() / 2;
    let reads: Vec<&[u8]> = vec![
        small.as_bytes(),
        small.as_bytes(),
        &large.as_bytes()[..cut],
        &large.as_bytes()[cut..],
        small.as_bytes(),
    ];
    let (decoder, held, _) = held(|| fed(Dialect::OpenAi, &reads));
    // Another language's object around it takes some bytes, too.
    let size = size_of_val(&decoder) + 32;
    assert!(size + held <= 1024, "{size} + {held} bytes");
}

#[test]
fn an_event_decoder_that_rests_holds_less_than_half_a_kilobyte() {
    let stream = format!("event: e\nid: 1\ndata: {}\n\n", "x".repeat(100_000));
    let (decoder, held, _) = held(|| {
        let mut decoder = EventDecoder::new(1 << 20);
        for read in stream.as_bytes().chunks(1000) {
            let _ = decoder.feed(read, |_| std::ops::ControlFlow::Continue(()));
        }
        decoder
    });
    let size = size_of_val(&decoder);
    assert!(size + held <= 512, "{size} + {held} bytes");
}

#[test]
fn a_read_of_whole_events_needs_no_memory_of_its_own() {
    let stream = [event(&"long ".repeat(10_000)), event("a"), event("\\n")].concat().repeat(30);
    let (_, _, most) = held(|| fed(Dialect::OpenAi, &[stream.as_bytes()]));
    assert!(stream.len() > 1 << 20);
    assert!(most <= 16 * 1024, "{most} bytes");
}

/// Of a chunk that has come, no more is decoded than is asked for, and little more than that.
#[cfg(feature = "adapters")]
#[test]
fn a_stream_holds_few_deltas_of_a_large_chunk() {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use futures_core::Stream;
    use tailrace_core::adapters::{Chunks, DeltaStream, EventStream};

    struct Once(Option<Vec<u8>>);

    impl Stream for Once {
        type Item = Result<Vec<u8>, std::convert::Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.take().map(Ok))
        }
    }

    let chunk =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".repeat(40_000).into_bytes();
    let mut cx = Context::from_waker(Waker::noop());
    let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    let mut deltas = DeltaStream::new(Chunks::new(Once(Some(chunk.clone()))), decoder);
    let ((), _, most) = held(|| assert!(Pin::new(&mut deltas).poll_next(&mut cx).is_ready()));
    assert!(most <= 64 * 1024, "{most} bytes for {}", chunk.len());
    let mut events = EventStream::new(Chunks::new(Once(Some(chunk))));
    let ((), _, most) = held(|| assert!(Pin::new(&mut events).poll_next(&mut cx).is_ready()));
    assert!(most <= 1024, "{most} bytes");
}

#[test]
fn an_event_in_small_reads_is_held_once() {
    let long = event(&"long ".repeat(1 << 18));
    // Before one whose layout is known, others that are as long as it, or short.
    for stream in [long.clone(), event("a").repeat(3) + &long, long.repeat(3)] {
        let (_, _, most) =
            held(|| fed(Dialect::OpenAi, &stream.as_bytes().chunks(64).collect::<Vec<_>>()));
        let allowed = 2 * long.len() + 64 * 1024 + stream.len() / 64 * 16;
        assert!(most <= allowed, "{most} bytes for {}", stream.len());
    }
}

#[test]
fn an_event_that_a_read_cuts_is_put_together_in_little_memory() {
    let stream = event(&"long ".repeat(10_000)).repeat(4);
    let reads: Vec<&[u8]> = stream.as_bytes().chunks(stream.len() / 4 + 1000).collect();
    let (_, _, most) = held(|| fed(Dialect::OpenAi, &reads));
    assert!(most <= 96 * 1024, "{most} bytes for {}", stream.len());
}
