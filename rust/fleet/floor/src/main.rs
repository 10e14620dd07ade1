//! The least that reading many streams can cost: one epoll loop and the core, in one thread. No pool, no TLS, no clock,
//! no head that is looked at, chunks of the form that `benchmarks/endtoend_server.py` writes.
//!
//! It speaks that server's protocol, and prints the nanoseconds of processor time an event as the other clients of
//! `benchmarks/fleet.py` do.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect, End};

const SETTLE: Duration = Duration::from_millis(200);
const BODY: &str = r#"{"model":"bench","messages":[{"role":"user","content":"What runs off below the mill?"}],"stream":true}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let run = Run::from_arguments()?;
    control(run.address, "POST", "/run", &run.settings())?;
    let mut floor = Floor::begin(&run)?;
    while floor.deltas < run.streams * (run.opening - 1) {
        floor.turn()?;
    }
    control(run.address, "GET", "/opened", "")?;
    sleep(SETTLE);
    control(run.address, "POST", "/go", "")?;
    let began = processor_time()?;
    let wanted = run.streams * (run.opening - 1 + run.events);
    while floor.deltas < wanted {
        floor.turn()?;
    }
    let took = processor_time()? - began;
    control(run.address, "POST", "/finish", "")?;
    while floor.whole < run.streams {
        floor.turn()?;
    }
    println!("{}", took / f64::from(u32::try_from(run.streams * run.events)?));
    Ok(())
}

/// What is measured; the first argument names the program, as with the other clients.
struct Run {
    address: SocketAddr,
    streams: usize,
    opening: usize,
    events: usize,
    per_write: usize,
    interval: f64,
    /// Before it asks its sockets again.
    rest: Duration,
}

impl Run {
    fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let given: HashMap<&str, &str> =
            words.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        let of = |name: &str| given.get(name).copied().ok_or_else(|| format!("{name} is missing"));
        let origin = of("--origin")?;
        Ok(Self {
            address: origin.strip_prefix("http://").ok_or("the floor knows no TLS")?.parse()?,
            streams: of("--streams")?.parse()?,
            opening: of("--opening")?.parse()?,
            events: of("--events")?.parse()?,
            per_write: of("--per-write")?.parse()?,
            interval: of("--interval")?.parse()?,
            rest: Duration::from_secs_f64(
                given.get("--rest").map_or(Ok(0.0), |rest| rest.parse())?,
            ),
        })
    }

    fn settings(&self) -> String {
        format!(
            r#"{{"streams":{},"opening":{},"events":{},"per_write":{},"interval":{}}}"#,
            self.streams, self.opening, self.events, self.per_write, self.interval
        )
    }
}

/// All streams, and how far they are.
struct Floor {
    poll: Poll,
    ready: Events,
    streams: Vec<Stream>,
    buffer: Vec<u8>,
    began: Instant,
    deltas: usize,
    whole: usize,
    stamp: u128,
    rest: Duration,
}

impl Floor {
    fn begin(run: &Run) -> Result<Self, Box<dyn Error>> {
        let poll = Poll::new()?;
        let mut streams = Vec::with_capacity(run.streams);
        for number in 0..run.streams {
            let mut link = Blocking::connect(run.address)?;
            let length = BODY.len();
            write!(
                link,
                "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n{BODY}",
                run.address
            )?;
            link.set_nonblocking(true)?;
            let mut link = TcpStream::from_std(link);
            poll.registry().register(&mut link, Token(number), Interest::READABLE)?;
            streams.push(Stream::new(link));
        }
        Ok(Self {
            poll,
            ready: Events::with_capacity(1024),
            streams,
            buffer: vec![0; 64 * 1024],
            began: Instant::now(),
            deltas: 0,
            whole: 0,
            stamp: 0,
            rest: run.rest,
        })
    }

    /// Waits once, and reads and decodes what is there.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        if !self.rest.is_zero() {
            sleep(self.rest);
        }
        self.poll.poll(&mut self.ready, None)?;
        for event in &self.ready {
            let stream = &mut self.streams[event.token().0];
            while !stream.is_whole {
                let length = match stream.link.read(&mut self.buffer) {
                    Ok(0) => return Err("a stream ended before its text had come".into()),
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                };
                self.stamp = self.began.elapsed().as_nanos();
                self.deltas += stream.take(&self.buffer[..length])?;
                self.whole += usize::from(stream.is_whole);
                if length < self.buffer.len() {
                    break; // mio is told by an edge, and an edge follows a read that was short
                }
            }
        }
        Ok(())
    }
}

/// One stream: its head passed over, its chunks taken apart.
struct Stream {
    link: TcpStream,
    decoder: DeltaDecoder,
    at: Within,
    is_whole: bool,
}

/// Where in the framing of HTTP a read ended.
enum Within {
    /// So many bytes of the head's end have been seen.
    Head(usize),
    /// The size as far as it has come, and whether its digits are over.
    Size(usize, bool),
    /// Bytes that are left, with the line end behind them.
    Chunk(usize),
}

struct Count(usize);

impl DeltaSink for Count {
    fn text(&mut self, _delta: &str) {
        self.0 += 1;
    }

    fn wants_everything(&self) -> bool {
        false
    }
}

impl Stream {
    fn new(link: TcpStream) -> Self {
        let decoder = DeltaDecoder::new(Dialect::OpenAi, DeltaOptions::default());
        Self { link, decoder, at: Within::Head(0), is_whole: false }
    }

    /// Takes a read, and returns how many deltas it brought.
    fn take(&mut self, mut data: &[u8]) -> Result<usize, Box<dyn Error>> {
        let mut count = Count(0);
        while let Some(&first) = data.first() {
            match self.at {
                Within::Head(seen) => {
                    let seen = if first == b"\r\n\r\n"[seen] {
                        seen + 1
                    } else {
                        usize::from(first == b'\r')
                    };
                    self.at = if seen == 4 { Within::Size(0, false) } else { Within::Head(seen) };
                    data = &data[1..];
                }
                Within::Size(size, is_over) => {
                    self.at = match first {
                        b'\n' => Within::Chunk(size + 2),
                        b'\r' => Within::Size(size, true),
                        digit if !is_over => {
                            let value = char::from(digit).to_digit(16).ok_or("no chunk")?;
                            Within::Size(size * 16 + value as usize, false)
                        }
                        _ => return Err("no chunk".into()),
                    };
                    data = &data[1..];
                }
                Within::Chunk(left) => {
                    let here = left.min(data.len());
                    let body = here.min(left.saturating_sub(2));
                    self.decoder.feed(&data[..body], &mut count);
                    self.at = if here == left {
                        Within::Size(0, false)
                    } else {
                        Within::Chunk(left - here)
                    };
                    data = &data[here..];
                }
            }
        }
        self.is_whole = self.decoder.end() == End::Done;
        Ok(count.0)
    }
}

/// Asks the server for something, and waits for its answer.
fn control(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<()> {
    let mut link = Blocking::connect(address)?;
    let length = body.len();
    write!(
        link,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    link.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other(path.to_owned()))
    }
}

/// Nanoseconds that this process, which has one thread, has been on a processor.
fn processor_time() -> Result<f64, Box<dyn Error>> {
    let told = fs::read_to_string("/proc/self/schedstat")?;
    Ok(told.split(' ').next().ok_or("no times of processes here")?.parse()?)
}
