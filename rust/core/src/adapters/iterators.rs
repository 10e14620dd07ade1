//! Events and deltas of what is read the way of `std::io`.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::iter::FusedIterator;

use crate::delta::{DeltaDecoder, OwnedDelta};
use crate::event::{EventDecoder, OwnedEvent};

use super::deltas::{Deltas, Next};
use super::events::Events;
use super::{DeltaError, EventError};

/// The events of what a reader reads, one by one.
///
/// ```
/// use tailrace_core::adapters::EventIterator;
///
/// let body = b"data: flood\n\nevent: tide\ndata: ebb\n\n"; // any `Read`: a file, a socket, a pipe
/// for event in EventIterator::new(&body[..]) {
///     let event = event?;
///     println!("{}: {}", event.kind(), event.data);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventIterator<R> {
    reader: R,
    events: Events,
}

impl<R: Read> EventIterator<BufReader<R>> {
    /// The events of a reader, which is read through a buffer of 8 KiB. An event is 8 MiB at most.
    pub fn new(reader: R) -> Self {
        Self::of_buffered(BufReader::new(reader), EventDecoder::default())
    }
}

impl<R: BufRead> EventIterator<R> {
    /// The events of a reader that has a buffer, by a decoder that nothing was fed to; its limit
    /// holds. Of the buffer no more is consumed than the events that were taken.
    pub fn of_buffered(reader: R, decoder: EventDecoder) -> Self {
        Self { reader, events: Events::new(decoder) }
    }

    /// The decoder, which knows the last event id and the reconnection time.
    pub fn decoder(&self) -> &EventDecoder {
        &self.events.decoder
    }
}

impl<R: BufRead> Iterator for EventIterator<R> {
    type Item = Result<OwnedEvent, EventError<io::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.events.is_over {
            match read(&mut self.reader, |unread| self.events.next(unread)) {
                Ok(Some(None)) => {}
                Ok(Some(Some(event))) => return Some(Ok(event)),
                Ok(None) => self.events.close(),
                Err(error) => {
                    if !is_passing(&error) {
                        self.events.close();
                    }
                    return Some(Err(EventError::Read(error)));
                }
            }
        }
        self.events.take_limit()
    }
}

impl<R: BufRead> FusedIterator for EventIterator<R> {}

/// The deltas of a reply that a reader reads, of every kind, one by one; the last item is an error
/// where the reply failed or is cut. What the reply told beside that is known by its
/// [`decoder`](Self::decoder).
#[derive(Debug)]
pub struct DeltaIterator<R> {
    reader: R,
    deltas: Deltas<io::Error>,
}

impl<R: Read> DeltaIterator<BufReader<R>> {
    /// The deltas of a reader, which is read through a buffer of 8 KiB.
    pub fn new(reader: R, decoder: DeltaDecoder) -> Self {
        Self::of_buffered(BufReader::new(reader), decoder)
    }
}

impl<R: BufRead> DeltaIterator<R> {
    /// The deltas of a reader that has a buffer. Of that it consumes 16 KiB at a time, also where
    /// the reply ends before.
    pub fn of_buffered(reader: R, decoder: DeltaDecoder) -> Self {
        Self { reader, deltas: Deltas::new(decoder) }
    }

    /// The decoder, which knows end, error, usage, ids and finish reason.
    pub fn decoder(&self) -> &DeltaDecoder {
        &self.deltas.decoder
    }

    /// The decoder, to be kept after the last delta.
    pub fn into_decoder(self) -> DeltaDecoder {
        self.deltas.decoder
    }
}

impl<R: BufRead> Iterator for DeltaIterator<R> {
    type Item = Result<OwnedDelta, DeltaError<io::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.deltas.next() {
                Next::Item(item) => return Some(item),
                Next::End => return None,
                Next::Bytes => {}
            }
            match read(&mut self.reader, |unread| self.deltas.feed(unread)) {
                Ok(Some(())) => {}
                Ok(None) => self.deltas.close(None),
                Err(error) if is_passing(&error) => return Some(Err(DeltaError::Read(error))),
                Err(error) => self.deltas.close(Some(error)),
            }
        }
    }
}

impl<R: BufRead> FusedIterator for DeltaIterator<R> {}

/// Whether there may be bytes behind this error: of a socket that has none for now.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

/// Has `take` take bytes off those that the reader has, or gets. `None` where the bytes have ended.
/// A read that a signal interrupts is taken up again.
fn read<R: BufRead, T>(
    reader: &mut R,
    take: impl FnOnce(&mut &[u8]) -> T,
) -> io::Result<Option<T>> {
    loop {
        let mut unread = match reader.fill_buf() {
            Ok([]) => return Ok(None),
            Ok(unread) => unread,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let length = unread.len();
        let taken = take(&mut unread);
        let count = length - unread.len();
        reader.consume(count);
        return Ok(Some(taken));
    }
}
