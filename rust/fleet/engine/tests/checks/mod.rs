//! A server on loopback that does as it is told, and what a fleet makes of it.

#![allow(dead_code, missing_docs)] // each file of tests uses some of it

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tailrace_fleet_engine::{
    Due, Ended, Fleet, Head, Keep, Request, Rows, Settings, Stamps, Ticket, Timeouts, Trust,
};

/// A server whose connections are served one thread each.
pub struct Server {
    pub url: String,
    pub connections: Arc<AtomicUsize>,
}

/// Has `answer` serve each connection to a new server.
pub fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/chat", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, answer) = (Arc::clone(&connections), Arc::new(answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    Server { url, connections }
}

/// Has a server send these bytes for each request, and close.
pub fn serve_bytes(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    serve(move |mut stream| {
        read_request(&mut stream);
        // Who has read enough may be gone.
        let _ = stream.write_all(&bytes);
    })
}

/// Reads a request with its body; returns its head, which is empty at the end of the connection.
pub fn read_request(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return String::new();
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
    });
    let length = length.map_or(0, |length| length.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).unwrap();
    head
}

pub const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// An event with this text.
pub fn event(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

pub const DONE: &str = "data: [DONE]\n\n";

/// A chunk of a body.
pub fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

pub const END: &str = "0\r\n\r\n";

pub fn settings() -> Settings {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    Settings {
        threads: 1,
        keep: Keep::Text,
        max_rows: 1_000_000,
        stamps: Some(Stamps::Read),
        coalesce: None,
        timeouts: Timeouts {
            connect: seconds(60),
            first_byte: seconds(60),
            idle: seconds(60),
            total: None,
        },
        max_reply_bytes: None,
        proxy: None,
        trust: Some(Trust::new([], (true, true)).unwrap()),
    }
}

pub fn request(url: &str) -> Request {
    let headers = [("content-type", "application/json"), ("accept-encoding", "identity")];
    Request::new(Arc::new(Head::new(url, headers).unwrap()), Bytes::from_static(b"{}"))
}

pub fn submit(fleet: &Fleet, request: Request) -> Ticket {
    fleet.submit(vec![request]).unwrap().remove(0)
}

/// Takes until nothing is under way.
pub fn drain(fleet: &Fleet) -> (Vec<Rows>, Vec<Ended>) {
    let (mut rows, mut ended) = (Vec::new(), Vec::new());
    loop {
        match fleet.due(Duration::ZERO) {
            Due::Over => return (rows, ended),
            Due::Now => {
                for taken in fleet.take() {
                    rows.push(taken.rows);
                    ended.extend(taken.ended);
                }
            }
            Due::Within(time) => drop(fleet.wait(time)),
            Due::Later => drop(fleet.wait(Duration::from_secs(60))),
        }
    }
}

/// Sends one request and returns the record of its end.
pub fn end_of(settings: Settings, url: &str) -> Ended {
    let fleet = Fleet::new(settings).unwrap();
    submit(&fleet, request(url));
    let (_, mut ended) = drain(&fleet);
    assert_eq!(ended.len(), 1);
    ended.remove(0)
}
