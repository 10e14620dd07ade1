//! Bodies as they are in programs: behind a type that hides theirs, and compressed.

mod server;

use std::error::Error;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tailrace_core::adapters::{BodyData, Chunks, DeltaError, DeltaStream, EventStream};
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, ErrorKind};

type BoxError = Box<dyn Error + Send + Sync>;

/// The events of a body whose error is no `Error` itself, for a caller who hands on any.
async fn listen(body: UnsyncBoxBody<Bytes, BoxError>) -> Result<Vec<String>, BoxError> {
    let mut events = EventStream::new(BodyData::new(body.map_err(std::io::Error::other)));
    let mut said = Vec::new();
    while let Some(event) = events.next().await {
        said.push(event?.data);
    }
    Ok(said)
}

#[tokio::test]
async fn a_body_in_a_box_has_its_error_made_one() {
    let url = server::start().await;
    let ask = async |path| server::client().get(format!("{url}/{path}")).send().await.unwrap();
    let boxed = |response| reqwest::Body::from(response).map_err(BoxError::from).boxed_unsync();
    assert_eq!(listen(boxed(ask("tides").await)).await.unwrap(), ["ebb", "flood"]);
    let error = listen(boxed(ask("broken").await)).await.unwrap_err();
    assert_eq!(error.to_string(), "the bytes of the reply broke off");
    assert!(error.source().is_some_and(|error| error.source().is_some()));
}

#[tokio::test]
async fn a_compressed_body_is_read_by_a_client_that_undoes_it() {
    let url = server::start().await;
    let ask =
        async |client: reqwest::Client| client.get(format!("{url}/packed")).send().await.unwrap();
    let mut events = EventStream::new(Chunks::new(ask(server::client()).await.bytes_stream()));
    let event = events.next().await.unwrap().unwrap();
    assert!(event.data.starts_with("{\"choices\""), "{event:?}");

    // As it is on the wire it has no events, and is no reply.
    let packed = async || {
        let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
        BodyData::new(reqwest::Body::from(ask(client).await))
    };
    assert!(EventStream::new(packed().await).next().await.is_none());
    let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
    let told = DeltaStream::new(packed().await, decoder).next().await.unwrap();
    let Err(DeltaError::Reply(error)) = told else { panic!("{told:?}") };
    assert_eq!(error.kind, ErrorKind::NotAStream);
}
