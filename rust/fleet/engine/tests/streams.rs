//! Streams of real servers on loopback.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are none by their names

mod checks;

use std::io::{ErrorKind, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use checks::{
    DONE, END, HEAD, chunk, drain, end_of, event, read_request, request, serve, serve_bytes,
    settings, submit,
};
use tailrace_core::End;
use tailrace_fleet_engine::{Clock, Ending, Fault, Fleet, Keep, Phase, Settings, Stamps, Timeouts};

fn answer(texts: &[&str]) -> String {
    let events: String = texts.iter().map(|text| chunk(&event(text))).collect();
    format!("{HEAD}{events}{}{END}", chunk(DONE))
}

#[test]
fn a_reply_becomes_rows() {
    let server = serve_bytes(answer(&["ebb", " und ", "Flöße"]));
    let fleet = Fleet::new(settings()).unwrap();
    let mut request = request(&server.url);
    request.tag = 7;
    submit(&fleet, request);
    let (rows, ended) = drain(&fleet);

    let texts: Vec<String> =
        rows.iter().flat_map(|rows| (0..rows.len()).map(|row| rows.text_of(row).into())).collect();
    assert_eq!(texts, ["ebb", " und ", "Flöße"]);
    let lengths: Vec<u32> = rows.iter().flat_map(|rows| rows.length.clone()).collect();
    assert_eq!(lengths, [3, 5, 5]);
    assert!(rows.iter().flat_map(|rows| &rows.tag).all(|tag| *tag == 7));

    let [ended] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((ended.tag, ended.ending, ended.status), (7, Ending::Read(End::Done), Some(200)));
    assert_eq!((ended.text.as_deref(), ended.deltas), (Some("ebb und Flöße"), 3));
    let times = [ended.sent, ended.first_byte, ended.first_text, ended.last, Some(ended.ended)];
    assert!(times.is_sorted() && times[0].is_some(), "{times:?}");
    assert!(ended.fault.is_none() && ended.error.is_none());
}

#[test]
fn a_connection_serves_the_next_request() {
    let server = serve(|mut stream| {
        while !read_request(&mut stream).is_empty() {
            stream.write_all(answer(&["a"]).as_bytes()).unwrap();
        }
    });
    let fleet = Fleet::new(settings()).unwrap();
    for _ in 0..3 {
        submit(&fleet, request(&server.url));
        assert_eq!(drain(&fleet).1[0].ending, Ending::Read(End::Done));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_request_waits_until_it_is_due() {
    let server = serve_bytes(answer(&["a"]));
    let fleet = Fleet::new(settings()).unwrap();
    let at = Clock::new().now() + 30_000_000;
    let mut request = request(&server.url);
    request.at = Some(at);
    submit(&fleet, request);
    assert!(drain(&fleet).1[0].sent.unwrap() >= at);
}

#[test]
fn a_cancelled_stream_ends_and_its_connection_is_closed() {
    let (closed, is_closed) = mpsc::channel();
    let server = serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(format!("{HEAD}{}", chunk(&event("a"))).as_bytes()).unwrap();
        // The end of the connection, not another request.
        closed.send(read_request(&mut stream)).unwrap();
    });
    let fleet = Fleet::new(settings()).unwrap();
    let ticket = submit(&fleet, request(&server.url));
    while fleet.take().is_empty() {
        fleet.due(Duration::ZERO);
        fleet.wait(Duration::from_secs(60));
    }
    ticket.cancel();
    ticket.cancel();
    let (_, ended) = drain(&fleet);
    assert_eq!(ended.iter().map(|ended| ended.ending).collect::<Vec<_>>(), [Ending::Cancelled]);
    assert_eq!(is_closed.recv().unwrap(), "");
}

#[test]
fn what_is_cancelled_before_it_is_due_is_never_sent() {
    let fleet = Fleet::new(settings()).unwrap();
    let mut request = request("http://127.0.0.1:9/");
    request.at = Some(Clock::new().now() + 3_600_000_000_000);
    let ticket = submit(&fleet, request);
    ticket.cancel();
    let (_, ended) = drain(&fleet);
    assert_eq!((ended[0].ending, ended[0].sent), (Ending::Cancelled, None));
}

#[test]
fn a_full_buffer_stops_the_reading_and_goes_on() {
    let (stalled, is_stalled) = mpsc::channel();
    let server = serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(HEAD.as_bytes()).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let events = chunk(&event("tide").repeat(100));
        let mut rest = events.as_bytes();
        loop {
            match stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            if rest.is_empty() {
                rest = events.as_bytes();
            }
        }
        stalled.send(()).unwrap();
        stream.set_write_timeout(None).unwrap();
        stream.write_all(rest).unwrap();
        stream.write_all(format!("{}{END}", chunk(DONE)).as_bytes()).unwrap();
    });
    let fleet = Fleet::new(Settings { max_rows: 1000, ..settings() }).unwrap();
    submit(&fleet, request(&server.url));
    is_stalled.recv().unwrap();
    let waiting: usize = fleet.take().iter().map(|taken| taken.rows.len()).sum();
    assert!((1000..10_000).contains(&waiting), "{waiting}");
    let (_, ended) = drain(&fleet);
    assert_eq!(ended[0].ending, Ending::Read(End::Done));
}

#[test]
fn to_close_drops_what_runs() {
    let (closed, is_closed) = mpsc::channel();
    let server = serve(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(HEAD.as_bytes()).unwrap();
        read_request(&mut stream);
        closed.send(()).unwrap();
    });
    let fleet = Fleet::new(settings()).unwrap();
    submit(&fleet, request(&server.url));
    while server.connections.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    fleet.close();
    fleet.close();
    assert!(fleet.submit(vec![request(&server.url)]).is_none());
    is_closed.recv().unwrap();
}

#[test]
fn replies_that_break() {
    let whole = answer(&["ebb"]);
    let cut = |end: &str| format!("{HEAD}{}{end}", chunk(&event("ebb")));
    let cases: [(&str, String, Ending, Option<Fault>); 9] = [
        ("nothing", String::new(), Ending::Unopened, Some(Fault::BrokenBefore)),
        ("no HTTP", "SSH-2.0\r\n\r\n".into(), Ending::Unopened, Some(Fault::NoHttp)),
        ("half a head", HEAD[..30].into(), Ending::Unopened, Some(Fault::BrokenBefore)),
        ("a chunk", cut("5\r\nda"), Ending::Read(End::Truncated), Some(Fault::Broken)),
        ("a size", cut("zz\r\n"), Ending::Read(End::Truncated), Some(Fault::Broken)),
        ("no marker", cut(END), Ending::Read(End::Truncated), None),
        (
            "a redirect",
            "HTTP/1.1 302 Found\r\nLocation: /login?a=b\r\nContent-Length: 0\r\n\r\n".into(),
            Ending::Unopened,
            Some(Fault::NoAnswer),
        ),
        (
            "interim heads",
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(100) + &whole,
            Ending::Unopened,
            Some(Fault::InterimHeads),
        ),
        (
            "a few interim heads",
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(10) + &whole,
            Ending::Read(End::Done),
            None,
        ),
    ];
    for (name, bytes, ending, fault) in cases {
        let ended = end_of(settings(), &serve_bytes(bytes).url);
        assert_eq!((ended.ending, ended.fault), (ending, fault), "{name}");
    }
}

#[test]
fn a_head_has_a_limit() {
    let field = format!("X-Field: {}\r\n", "a".repeat(1000));
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(300));
    assert_eq!(end_of(settings(), &serve_bytes(head).url).fault, Some(Fault::Head));
}

#[test]
fn a_status_of_an_error_has_the_errors_words() {
    let body = r#"{"error":{"message":"slow down","code":"rate"}}"#;
    let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n";
    let reply = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let ended = end_of(settings(), &serve_bytes(reply).url);
    let error = ended.error.unwrap();
    assert_eq!((ended.ending, ended.status), (Ending::Read(End::Failed), Some(429)));
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("slow down", Some("rate")));
    assert_eq!(ended.headers["retry-after"], "3");
}

#[test]
fn a_reply_has_a_limit() {
    let server = serve_bytes(answer(&["ebb", "flow"]));
    let most = event("ebb").len() as u64;
    let settings = Settings { max_reply_bytes: Some(most), ..settings() };
    let ended = end_of(settings, &server.url);
    assert_eq!((ended.fault, ended.text.as_deref()), (Some(Fault::TooLarge), Some("ebb")));
    assert_eq!(ended.bytes, most);
}

#[test]
fn a_body_is_kept_as_it_came() {
    let server = serve_bytes(answer(&["ebb"]));
    let ended = end_of(Settings { keep: Keep::Body, ..settings() }, &server.url);
    assert_eq!(ended.ending, Ending::Read(End::Done));
    assert_eq!(ended.body.unwrap(), format!("{}{DONE}", event("ebb")).into_bytes());
}

#[test]
fn clocks_run_out() {
    let short = Some(Duration::from_millis(50));
    let silent = serve(|mut stream| {
        read_request(&mut stream);
        read_request(&mut stream);
    });
    let idle = serve(|mut stream| {
        read_request(&mut stream);
        stream.write_all(format!("{HEAD}{}", chunk(&event("ebb"))).as_bytes()).unwrap();
        read_request(&mut stream);
    });
    let timeouts = settings().timeouts;
    let cases = [
        (&silent, Phase::FirstByte, Timeouts { first_byte: short, ..timeouts }),
        (&idle, Phase::Idle, Timeouts { idle: short, ..timeouts }),
        (&silent, Phase::Total, Timeouts { total: short, ..timeouts }),
        (&idle, Phase::Total, Timeouts { total: short, ..timeouts }),
    ];
    for (server, phase, timeouts) in cases {
        let ended = end_of(Settings { timeouts, ..settings() }, &server.url);
        assert_eq!(ended.fault, Some(Fault::Timeout(phase)));
    }
}

#[test]
fn who_cannot_be_reached_is_named() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = end_of(settings(), &format!("http://{refused}/"));
    let errno = Some(nix::errno::Errno::ECONNREFUSED as i32);
    assert_eq!(ended.fault, Some(Fault::Unreachable { proxy: false, errno }));
    let ended = end_of(settings(), "http://name.invalid/");
    assert_eq!(ended.fault, Some(Fault::Name { proxy: false }));
}

#[cfg(target_os = "linux")]
#[test]
fn times_of_the_kernel() {
    let server = serve_bytes(answer(&["ebb", "flow"]));
    let settings = Settings { stamps: Some(Stamps::Kernel), ..settings() };
    let ended = end_of(settings, &server.url);
    let times = [ended.first_byte, ended.first_text, ended.last, Some(ended.ended)];
    assert_eq!(ended.text.as_deref(), Some("ebbflow"));
    assert!(times.is_sorted() && ended.sent < ended.last, "{times:?}");
}

#[test]
fn packed_replies() {
    use flate2::{Compression, write::GzEncoder};
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(format!("{}{DONE}", event("ebb").repeat(10_000)).as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let reply = |coding: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n");
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        end_of(settings(), &serve_bytes([head.as_bytes(), body].concat()).url)
    };
    let ended = reply("gzip", &body);
    assert_eq!((ended.ending, ended.deltas), (Ending::Read(End::Done), 10_000));
    assert_eq!(reply("gzip", &body[..50]).fault, Some(Fault::CutCoding));
    assert_eq!(reply("gzip", b"data: {}\n\n").fault, Some(Fault::OtherCoding));
    assert_eq!(reply("br", &body).fault, Some(Fault::UnknownCoding("br".into())));
}
