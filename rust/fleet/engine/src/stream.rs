//! One stream: a request is sent, and its reply read into columns until it ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;
use hyper::body::Incoming;
use tailrace_core::{DeltaDecoder, DeltaOptions, End, Framing};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout};

use crate::clocks::{Clocks, Stop};
use crate::ended::Ending;
use crate::fault::Fault;
use crate::inflate::{Inflater, coding_of};
use crate::job::Job;
use crate::record::Record;
use crate::request::{Head, Request};
use crate::rows::{Keep, RowSink, Source};
use crate::sending::Sending;
use crate::shared::Shared;
use crate::stamped::Stamp;
use crate::upload::Upload;

/// Bytes unpacked between two turns of the thread's other streams.
const UNPACKED_A_TURN: usize = 256 * 1024;

/// What a reply may still send behind its end marker for its connection to be used again.
const MAX_BYTES_BEHIND: usize = 16 * 1024;
const MAX_TIME_BEHIND: Duration = Duration::from_millis(500);

/// Sends a request, reads its reply and hands over the record of that.
pub(crate) async fn run(shared: Arc<Shared>, job: Arc<Job>, request: Request) {
    let record = Record::new(Arc::clone(&shared), &request);
    let clocks = Clocks::new(shared.settings.timeouts);
    Stream { shared, job: Arc::clone(&job), record, clocks }.run(request).await;
    job.end();
}

/// Why a stream is over before its reply's end.
enum Over {
    Cancelled,
    Fault(Fault),
}

impl From<Stop> for Over {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::Flooded => Self::Fault(Fault::InterimHeads),
            Stop::TimedOut(phase) => Self::Fault(Fault::Timeout(phase)),
        }
    }
}

impl From<Fault> for Over {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

struct Stream {
    shared: Arc<Shared>,
    job: Arc<Job>,
    record: Record,
    clocks: Clocks,
}

impl Stream {
    async fn run(mut self, request: Request) {
        let mut reply = Box::new(Reply::new(&request, self.shared.settings.keep));
        let over = match self.open(request, &mut reply).await {
            Ok(body) => return self.read(body, reply).await,
            Err(over) => over,
        };
        self.leave_upload(&reply);
        match over {
            Over::Cancelled => self.record.cancelled(),
            Over::Fault(fault) => self.record.hand_over(Some(fault)),
        }
    }

    /// Gives the connection up on which a reply came before all of its request was sent.
    fn leave_upload(&self, reply: &Reply) {
        if !self.job.is_sent_whole() || reply.upload.is_held_up() {
            reply.upload.give_up();
        }
    }

    /// Sends the request when it is due, and waits for the reply's head.
    async fn open(&mut self, request: Request, reply: &mut Reply) -> Result<Incoming, Over> {
        if let Some(due) = request.at.and_then(|at| self.shared.clock.instant_at(at)) {
            self.clocks.until(&self.job, sleep_until(due.into())).await?;
        }
        self.clocks.begin(self.shared.coalescing.connect());
        let now = self.shared.clock.now();
        self.record.note(|ended| ended.sent = Some(now));
        let sent = self.shared.client.request(self.http_request(request));
        let response = self.clocks.until(&self.job, sent).await?;
        let response = response.map_err(|error| Fault::of_request(&error))?;
        self.clocks.opened();
        self.take_head(response, reply)
    }

    fn http_request(&self, request: Request) -> http::Request<Sending> {
        let Request { head, body, .. } = request;
        let Head { uri, headers, .. } = Arc::unwrap_or_clone(head);
        let is_forwarded = uri.scheme() != Some(&Scheme::HTTPS);
        let mut sent = http::Request::new(Sending::new(Arc::clone(&self.job), body));
        *sent.method_mut() = http::Method::POST;
        *sent.uri_mut() = uri;
        *sent.headers_mut() = headers;
        let proxy = self.shared.settings.proxy.as_ref().filter(|_| is_forwarded);
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            sent.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let job = Arc::clone(&self.job);
        hyper::ext::on_informational(&mut sent, move |_| job.note_interim_head());
        sent
    }

    /// Takes note of the reply's head; returns its body, if that may be an answer.
    fn take_head(
        &mut self,
        response: Response<Incoming>,
        reply: &mut Reply,
    ) -> Result<Incoming, Over> {
        let (mut head, body) = response.into_parts();
        reply.stamp = head.extensions.remove::<Stamp>().unwrap_or_default();
        reply.upload = head.extensions.remove::<Upload>().unwrap_or_default();
        let (status, read) = (head.status.as_u16(), reply.stamp.read());
        let may_answer = may_answer(status, &head.headers, self.shared.settings.proxy.is_some());
        let coding = head.headers.get(CONTENT_ENCODING).map(|value| text_of(value.as_bytes()));
        let content_type = head.headers.get(CONTENT_TYPE).map(|value| text_of(value.as_bytes()));
        self.record.note(|ended| {
            ended.status = Some(status);
            ended.first_byte = Some(read);
            ended.headers = apart(&head.headers);
        });
        if !may_answer {
            return Err(Fault::NoAnswer.into());
        }
        reply.inflater = coding_of(&coding.unwrap_or_default())?;
        reply.begin(status, content_type);
        Ok(body)
    }

    /// Reads the reply to its end and hands the record over.
    async fn read(mut self, mut body: Incoming, mut reply: Box<Reply>) {
        let over = self.read_on(&mut body, &mut reply).await;
        let is_over = matches!(over, Ok(false));
        self.leave_upload(&reply);
        match over {
            Err(Over::Cancelled) => {
                reply.note_in(&mut self.record);
                self.record.cancelled();
            }
            over => {
                let fault = over.err().and_then(Over::into_fault);
                self.write(&mut reply, |sink, decoder| decoder.close(fault.is_none(), sink));
                reply.is_whole = fault.is_none();
                reply.note_in(&mut self.record);
                self.record.hand_over(fault);
            }
        }
        drop(reply);
        if is_over {
            read_behind(body).await;
        }
    }

    /// Reads until the reply has ended, or its body, which is told by `true`.
    async fn read_on(&mut self, body: &mut Incoming, reply: &mut Reply) -> Result<bool, Over> {
        while reply.is_open() {
            self.wait_for_room().await?;
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let Some(frame) = self.clocks.until(&self.job, frame).await? else {
                reply.check_coding()?;
                return Ok(true);
            };
            let frame = frame.map_err(|_| Fault::Broken)?;
            if let Ok(bytes) = frame.into_data() {
                // Now: while they are unpacked the connection may read on.
                reply.source.at = reply.stamp.read();
                self.take(&bytes, reply).await?;
            }
        }
        Ok(false)
    }

    /// Takes the next bytes of the body, in their coding.
    async fn take(&mut self, bytes: &Bytes, reply: &mut Reply) -> Result<(), Over> {
        let Some(mut inflater) = reply.inflater.take() else { return self.feed(bytes, reply) };
        let (mut bytes, mut unpacked) = (&bytes[..], 0);
        while let Some(piece) = inflater.next(&mut bytes)? {
            self.feed(piece, reply)?;
            unpacked += piece.len();
            if !reply.is_open() {
                break;
            }
            self.wait_for_room().await?;
            if unpacked >= UNPACKED_A_TURN {
                unpacked = 0;
                self.clocks.until(&self.job, yield_now()).await?;
            }
        }
        reply.inflater = Some(inflater);
        Ok(())
    }

    /// Reads decoded bytes, as far as the limit allows.
    fn feed(&mut self, bytes: &[u8], reply: &mut Reply) -> Result<(), Over> {
        let room = self.shared.settings.max_reply_bytes.map_or(u64::MAX, |most| most - reply.bytes);
        let taken = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(bytes);
        reply.bytes += taken.len() as u64;
        match &mut reply.kept {
            Some(kept) => kept.extend_from_slice(taken),
            None => self.write(reply, |sink, decoder| decoder.feed(taken, sink)),
        }
        if reply.has_progressed() {
            self.clocks.progressed();
        }
        // More than the limit is no fault of a reply that has ended within it.
        let is_more = taken.len() < bytes.len() && reply.is_open();
        if is_more { Err(Fault::TooLarge.into()) } else { Ok(()) }
    }

    /// Has the decoder write rows.
    fn write(&self, reply: &mut Reply, write: impl FnOnce(&mut RowSink<'_>, &mut DeltaDecoder)) {
        let Reply { decoder: Some(decoder), source, text, .. } = reply else { return };
        let mut waiting = self.shared.outbox.lock();
        let rows = &mut waiting.rows;
        let (before, text_before) = (rows.len(), rows.text.len());
        let mut sink = RowSink::new(rows, *source, text.as_mut());
        write(&mut sink, decoder);
        let has_text = sink.has_text;
        let (added, text) = (rows.len() - before, rows.text.len() - text_before);
        // Counted while nobody can take them.
        self.shared.waiting.add_rows(added, text, source.at);
        drop(waiting);
        reply.deltas += added as u64;
        if has_text && reply.first_text.is_none() {
            reply.first_text = Some(source.at);
        }
    }

    /// Waits while nothing more is to be read; that is not the peer's time.
    async fn wait_for_room(&mut self) -> Result<(), Over> {
        while self.shared.waiting.is_full() {
            let shared = Arc::clone(&self.shared);
            let mut room = pin!(shared.outbox.room.notified());
            room.as_mut().enable();
            if !shared.waiting.is_full() {
                break;
            }
            let left = self.clocks.pause();
            let waited = self.clocks.until(&self.job, room).await;
            self.clocks.go_on(left);
            waited?;
        }
        Ok(())
    }
}

impl Over {
    fn into_fault(self) -> Option<Fault> {
        match self {
            Self::Cancelled => None,
            Self::Fault(fault) => Some(fault),
        }
    }
}

/// A reply as it is read.
struct Reply {
    source: Source,
    stamp: Stamp,
    upload: Upload,
    /// Of a reply that is decoded.
    decoder: Option<DeltaDecoder>,
    /// Its text, where that is kept.
    text: Option<String>,
    /// Its body, where that is kept.
    kept: Option<Vec<u8>>,
    inflater: Option<Inflater>,
    dialect: Option<tailrace_core::Dialect>,
    bytes: u64,
    deltas: u64,
    events: u64,
    first_text: Option<i64>,
    is_whole: bool,
}

impl Reply {
    fn new(request: &Request, keep: Keep) -> Self {
        let (tag, dialect) = (request.tag, request.head.dialect);
        Self {
            source: Source { tag, at: 0, keep, wants_tokens: request.wants_tokens() },
            stamp: Stamp::default(),
            upload: Upload::default(),
            decoder: None,
            text: matches!(keep, Keep::Text | Keep::All).then(String::new),
            kept: (keep == Keep::Body).then(Vec::new),
            inflater: None,
            dialect,
            bytes: 0,
            deltas: 0,
            events: 0,
            first_text: None,
            is_whole: false,
        }
    }

    /// Begins to decode, where it is decoded.
    fn begin(&mut self, status: u16, content_type: Option<String>) {
        self.source.at = self.stamp.read();
        if self.kept.is_some() {
            return;
        }
        let options = DeltaOptions { status, content_type, ..DeltaOptions::default() };
        let mut decoder = match self.dialect {
            Some(dialect) => DeltaDecoder::new(dialect, options),
            None => DeltaDecoder::detecting(options),
        };
        if self.source.keep == Keep::All {
            decoder.collect();
        }
        self.decoder = Some(decoder);
    }

    fn is_open(&self) -> bool {
        self.decoder.as_ref().is_none_or(|decoder| decoder.end() == End::Open)
    }

    /// Whether the bytes just read set the idle clock back: an event does, a comment does not.
    fn has_progressed(&mut self) -> bool {
        let Some(decoder) = &self.decoder else { return true };
        let before = std::mem::replace(&mut self.events, decoder.events());
        before != self.events || matches!(decoder.framing(), Framing::Json | Framing::Text)
    }

    fn check_coding(&self) -> Result<(), Fault> {
        let is_complete = self.inflater.as_ref().is_none_or(Inflater::is_complete);
        if is_complete { Ok(()) } else { Err(Fault::CutCoding) }
    }

    /// Writes down what is known.
    fn note_in(&mut self, record: &mut Record) {
        if let Some(decoder) = &self.decoder {
            record.note_reply(decoder);
        }
        record.note(|ended| {
            if self.kept.is_some() {
                let end = if self.is_whole { End::Done } else { End::Truncated };
                ended.ending = Ending::Read(end);
            }
            ended.bytes = self.bytes;
            ended.deltas = self.deltas;
            ended.first_text = self.first_text;
            ended.last = (self.bytes > 0).then_some(self.source.at);
            ended.text = self.text.take();
            ended.body = self.kept.take();
        });
    }
}

/// The headers with values of their own: those of hyper are parts of the connection's buffer, which
/// they would keep as long as the stream lasts.
fn apart(headers: &HeaderMap) -> HeaderMap {
    let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes());
    let mut apart = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        apart.append(name, own(value).unwrap_or_else(|_| value.clone()));
    }
    apart
}

/// Whether a reply with this head may hold an answer: no redirect, no challenge, nothing of a proxy
/// and nothing that is not HTTP.
fn may_answer(status: u16, headers: &HeaderMap, has_proxy: bool) -> bool {
    let is_challenge = headers
        .get("cf-mitigated")
        .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"challenge"));
    let is_proxys = has_proxy && status == 407;
    !(status < 200 || (300..400).contains(&status) || is_proxys || is_challenge)
}

/// Reads what comes behind a reply's end marker, if that is the end of its body soon: then its
/// connection can be used again.
async fn read_behind(mut body: Incoming) {
    let end = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > MAX_BYTES_BEHIND {
                break;
            }
        }
    };
    // In either case the body is dropped, and its connection is closed unless that was the end.
    let _ = timeout(MAX_TIME_BEHIND, end).await;
}

/// A header's text; bytes that are no UTF-8 are replaced.
fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
