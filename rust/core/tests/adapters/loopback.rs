//! The streams and iterators over real connections: hyper's server and client, a socket of tokio's
//! and one of `std`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tailrace_core::adapters::{
    BodyData, DeltaError, DeltaIterator, DeltaStream, EventError, EventStream, Reads,
};
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, End, OwnedDelta, OwnedEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::pieces::Frames;
use super::{DONE, STOP, TEXT, USAGE, joined, openai};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// A server of one reply, each piece of which is a chunk of its own, and a trailer.
async fn serve(pieces: &'static [&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let reply = service_fn(async |_: Request<Incoming>| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-cost", "7".parse().unwrap());
            let data = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece)));
            let body = Frames::new(data.chain([Frame::trailers(trailers)]));
            Ok::<_, Infallible>(Response::builder().header("trailer", "x-cost").body(body).unwrap())
        });
        let connection = hyper::server::conn::http1::Builder::new();
        connection.serve_connection(TokioIo::new(socket), reply).await.unwrap();
    });
    address
}

/// A server that writes this and closes the connection.
fn write_raw(reply: &'static [u8]) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        read_request(&mut socket).unwrap();
        socket.write_all(reply).unwrap();
    });
    address
}

fn read_request(socket: &mut std::net::TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        request.extend(byte);
    }
    Ok(())
}

/// A server that ends the body of its reply once it is told to, and answers a second request on the
/// same connection, if there is one.
fn end_late() -> (SocketAddr, mpsc::Sender<()>) {
    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n41\r\n\
          data: {\"choices\":[{\"delta\":{\"content\":\"Ebb\"}}]}\n\ndata: [DONE]\n\n\n\n\r\n";
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = mpsc::channel();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        read_request(&mut socket).unwrap();
        socket.write_all(REPLY).unwrap();
        let _ = ended.recv();
        if socket.write_all(b"0\r\n\r\n").and_then(|()| read_request(&mut socket)).is_ok() {
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    (address, end)
}

async fn connect(address: SocketAddr) -> SendRequest<Frames> {
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http1::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request() -> Request<Frames> {
    let request = Request::builder().uri("/").header("host", "localhost").header("te", "trailers");
    request.body(Frames::new([])).unwrap()
}

async fn ask(address: SocketAddr) -> Incoming {
    connect(address).await.send_request(request()).await.unwrap().into_body()
}

const REPLY: &[&[u8]] = &[TEXT.split_at(20).0, TEXT.split_at(20).1, STOP, USAGE, DONE];

#[test]
fn a_reply_of_hyper_s_is_read_as_deltas() {
    runtime().block_on(async {
        let address = serve(REPLY).await;
        let mut deltas = DeltaStream::new(BodyData::new(ask(address).await), openai());
        let mut got: Vec<OwnedDelta> = Vec::new();
        while let Some(delta) = next(&mut deltas).await {
            got.push(delta.unwrap());
        }
        assert_eq!(joined(&got), "Ebb tide");
        assert_eq!(deltas.decoder().end(), End::Done);
        assert_eq!(deltas.decoder().usage().unwrap().prompt_tokens, 4);
    });
}

#[test]
fn a_reply_of_hyper_s_is_read_as_events_and_its_trailers_are_kept() {
    runtime().block_on(async {
        let address = serve(&[b"id: 1\nevent: tide\nda", b"ta: ebb\n\n", b"data: flood\n\n"]).await;
        let mut events = EventStream::new(BodyData::new(ask(address).await));
        let mut got: Vec<OwnedEvent> = Vec::new();
        while let Some(event) = next(&mut events).await {
            got.push(event.unwrap());
        }
        let told: Vec<_> = got.iter().map(|event| (event.kind(), &*event.data)).collect();
        assert_eq!(told, [("tide", "ebb"), ("message", "flood")]);
        assert_eq!(events.decoder().last_event_id(), "1");
        assert_eq!(events.source().trailers().unwrap()["x-cost"], "7");
    });
}

/// A chunk of 9 bytes is promised, and the connection is closed behind it.
const CUT: &[u8] =
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata";

#[test]
fn a_connection_that_breaks_is_told_from_a_reply_that_ends() {
    runtime().block_on(async {
        let mut events = EventStream::new(BodyData::new(ask(write_raw(CUT)).await));
        assert_eq!(next(&mut events).await.unwrap().unwrap().data, "1");
        let error = next(&mut events).await.unwrap().unwrap_err();
        assert!(matches!(error, EventError::Read(_)), "{error:?}");
        assert!(next(&mut events).await.is_none());

        let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
        let mut deltas = DeltaStream::new(BodyData::new(ask(write_raw(CUT)).await), decoder);
        let mut last = None;
        while let Some(delta) = next(&mut deltas).await {
            last = Some(delta);
        }
        assert!(matches!(last, Some(Err(DeltaError::Read(_)))), "{last:?}");
        assert_eq!(deltas.decoder().end(), End::Truncated);
    });
}

#[test]
fn a_connection_serves_the_next_request_when_its_reply_is_read_to_the_end() {
    runtime().block_on(async {
        for drains in [true, false] {
            let (address, end) = end_late();
            let mut sender = connect(address).await;
            let reply = sender.send_request(request()).await.unwrap();
            let mut deltas = DeltaStream::new(BodyData::new(reply.into_body()), openai());
            while let Some(delta) = next(&mut deltas).await {
                assert_eq!(delta.unwrap().text(), Some("Ebb"));
            }
            if drains {
                end.send(()).unwrap();
                deltas.drain().await.unwrap();
            }
            drop(deltas);
            assert_eq!(sender.ready().await.is_ok(), drains);
            if drains {
                assert_eq!(sender.send_request(request()).await.unwrap().status(), 204);
            }
        }
    });
}

#[test]
fn sockets_are_read_as_they_are() {
    const RAW: &[u8] =
        b"data: {\"choices\":[{\"delta\":{\"content\":\"Ebb\"}}]}\n\ndata: [DONE]\n\n";
    let mut socket = std::net::TcpStream::connect(write_raw(RAW)).unwrap();
    socket.write_all(b"\r\n\r\n").unwrap();
    let deltas: Result<Vec<_>, _> = DeltaIterator::new(socket, openai()).collect();
    assert_eq!(joined(&deltas.unwrap()), "Ebb");

    runtime().block_on(async {
        let mut socket = TcpStream::connect(write_raw(RAW)).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"\r\n\r\n").await.unwrap();
        let mut deltas = DeltaStream::new(Reads::new(socket), openai());
        assert_eq!(next(&mut deltas).await.unwrap().unwrap().text(), Some("Ebb"));
        assert!(next(&mut deltas).await.is_none());
    });
}
