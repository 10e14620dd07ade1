//! A server of axum's on loopback, which says the same every time.

use std::io::{self, Write};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;

/// Starts it, and returns its URL.
pub async fn start() -> String {
    let app = Router::new()
        .route("/tides", get(async || said(&[b"event: tide\nda", b"ta: ebb\n\ndata: flood\n\n"])))
        .route("/chat", post(async || said(ANSWER)))
        .route("/full", post(async || (StatusCode::TOO_MANY_REQUESTS, FULL)))
        .route("/packed", get(packed))
        .route("/broken", get(async || broken(b"data: 1\n")))
        .route("/log", get(log));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A client that asks it, whatever proxy the environment names.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

const ANSWER: &[&[u8]] = &[
    b"data: {\"choices\":[{\"delta\":{\"content\":\"Let me\"}}]}\n",
    b"\ndata: {\"choices\":[{\"delta\":{\"content\":\" see.\",\"tool_calls\":[{\"index\":0,",
    b"\"id\":\"c1\",\"function\":{\"name\":\"tide\",\"arguments\":\"{}\"}}]}}]}\n\n",
    b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
];

const FULL: &str = r#"{"error":{"message":"slow down","code":"rate"}}"#;

/// A body of these chunks.
pub fn said(chunks: &'static [&'static [u8]]) -> Response {
    let chunks = chunks.iter().map(|chunk| Ok::<_, io::Error>(Bytes::from_static(chunk)));
    Body::from_stream(stream::iter(chunks)).into_response()
}

/// Two events, which go on behind the one that was heard last; the second time the body breaks off
/// behind them, and the third time there is nothing more.
async fn log(headers: HeaderMap) -> Response {
    match headers.get("last-event-id").map(|id| id.as_bytes()) {
        None => "retry: 1\nid: 1\ndata: after nothing\n\nid: 2\ndata: and more\n\n".into_response(),
        Some(b"2") => broken(b"data: after 2\n\nid: 4\ndata: and no more\n\n"),
        Some(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// A body that breaks off behind this.
fn broken(said: &'static [u8]) -> Response {
    let broken = stream::once(async {
        tokio::task::yield_now().await; // what was said is sent before
        Err(io::Error::other("the tide is out"))
    });
    let said = stream::iter([Ok(Bytes::from_static(said))]);
    Body::from_stream(said.chain(broken)).into_response()
}

/// The answer, compressed by gzip.
async fn packed() -> Response {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&ANSWER.concat()).unwrap();
    ([(CONTENT_ENCODING, "gzip")], encoder.finish().unwrap()).into_response()
}
