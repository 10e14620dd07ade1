//! Bodies of axum's, of a request and of a response, are bodies as all others.

mod server;

use axum::body::Body;
use futures_util::StreamExt;
use tailrace_core::adapters::{BodyData, EventStream};

#[tokio::test]
async fn a_body_of_axum_s_is_read_as_events() {
    let chunks: &[&[u8]] = &[b"event: tide\nda", b"ta: ebb\n\n"];
    let body: Body = server::said(chunks).into_body();
    let events: Vec<_> = EventStream::new(BodyData::new(body)).collect().await;
    let [Ok(event)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind(), event.data.as_str()), ("tide", "ebb"));
    let url = server::start().await;
    let response = server::client().get(format!("{url}/tides")).send().await.unwrap();
    let events: Vec<_> =
        EventStream::new(BodyData::new(reqwest::Body::from(response))).collect().await;
    assert_eq!(events.len(), 2);
}
