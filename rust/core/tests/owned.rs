//! Deltas and events that are kept: nothing of the borrowed ones is lost, there or back.

use std::ops::ControlFlow;

use tailrace_core::{
    Delta, DeltaKind, Event, EventDecoder, OwnedDelta, OwnedEvent, OwnedSeal, OwnedToolCall, Seal,
    ToolCall,
};

use crate::expect::{self, Records};
use crate::vectors;

#[test]
fn what_is_kept_of_every_vector_is_what_a_sink_is_told() {
    let mut seen = [0; 6];
    for (name, case) in vectors::cases("deltas") {
        let input = vectors::bytes(&case["input"]);
        let (mut told, mut kept) = (Records::default(), Vec::<OwnedDelta>::new());
        let (mut decoder, mut keeper) = (expect::decoder(&case), expect::decoder(&case));
        decoder.feed(&input, &mut told);
        decoder.close(true, &mut told);
        keeper.feed(&input, &mut kept);
        keeper.close(true, &mut kept);
        let mut again = Records::default();
        for delta in &kept {
            let mut same = OwnedDelta::from(delta.as_delta());
            same.logprobs.clone_from(&delta.logprobs);
            assert_eq!(&same, delta, "{name}");
            delta.hand_to(&mut again);
            seen[kind(delta)] += 1;
            seen[5] += usize::from(delta.logprobs.is_some());
        }
        assert_eq!(again, told, "{name}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

fn kind(delta: &OwnedDelta) -> usize {
    match &delta.kind {
        DeltaKind::Text(_) => 0,
        DeltaKind::Reasoning(_) => 1,
        DeltaKind::Refusal(_) => 2,
        DeltaKind::ToolCall(_) => 3,
        DeltaKind::Seal(_) => 4,
        other => panic!("{other:?} is new"),
    }
}

#[test]
fn every_part_of_a_call_and_of_a_seal_is_kept() {
    let piece = ToolCall {
        index: Some(3),
        id: Some("c1"),
        name: Some("tide"),
        arguments: "{}",
        signature: Some("s"),
    };
    assert_eq!(OwnedToolCall::from(piece).as_tool_call(), piece);
    assert_eq!(OwnedToolCall::default().as_tool_call(), ToolCall::default());
    for seal in [
        Seal::Signature("a"),
        Seal::Redacted("b"),
        Seal::Encrypted { id: "i", data: "c" },
        Seal::Text("d"),
    ] {
        assert_eq!(OwnedSeal::from(seal).as_seal(), seal);
        assert_eq!(OwnedDelta::from(Delta::Seal(seal)).as_delta(), Delta::Seal(seal));
    }
}

#[test]
fn every_event_of_the_vectors_is_kept_whole() {
    for (name, case) in vectors::cases("sse") {
        let input = vectors::bytes(&case["input"]);
        let _ = EventDecoder::new(1 << 20).feed(&input, |event: Event<'_>| {
            let kept = OwnedEvent::from(event);
            assert_eq!(kept.as_event(), event, "{name}");
            assert_eq!((kept.kind(), kept.id()), (event.kind(), event.id), "{name}");
            ControlFlow::Continue(())
        });
    }
}
