//! A server of axum's on loopback, which says the same every time.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;

/// Starts it, and returns its URL.
pub async fn start() -> String {
    let app = Router::new()
        .route("/tides", get(async || said(&[b"event: tide\nda", b"ta: ebb\n\ndata: flood\n\n"])))
        .route("/chat", post(async || said(ANSWER)))
        .route("/full", post(async || (StatusCode::TOO_MANY_REQUESTS, FULL)))
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
    let chunks = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk)));
    Body::from_stream(stream::iter(chunks)).into_response()
}

/// Two events, which go on behind the one that was heard last.
async fn log(headers: HeaderMap) -> String {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or("nothing");
    format!("retry: 1\nid: 1\ndata: after {last}\n\nid: 2\ndata: and more\n\n")
}
