//! A TCP connection that takes the time of each read, below TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::settings::Stamps;

/// When a connection was read last, in nanoseconds: shared by the connection and its streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamp(Arc<AtomicI64>);

impl Stamp {
    pub(crate) fn read(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, nanoseconds: i64) {
        self.0.store(nanoseconds, Ordering::Relaxed);
    }
}

/// A TCP connection that takes the time of each read.
pub(crate) struct Stamped {
    tcp: TcpStream,
    clock: Clock,
    stamp: Stamp,
    is_kernels: bool,
}

impl Stamped {
    /// # Errors
    /// Where the kernel takes no times.
    pub(crate) fn new(tcp: TcpStream, clock: Clock, stamps: Stamps) -> io::Result<Self> {
        let is_kernels = stamps == Stamps::Kernel;
        if is_kernels {
            kernel::turn_on(&tcp)?;
        }
        Ok(Self { tcp, clock, stamp: Stamp::default(), is_kernels })
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl AsyncRead for Stamped {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_kernels {
            let read = kernel::poll_read(&this.tcp, this.clock, context, buffer);
            return read.map_ok(|stamp| this.stamp.set(stamp.max(this.stamp.read())));
        }
        let read = Pin::new(&mut this.tcp).poll_read(context, buffer);
        if read.is_ready() {
            this.stamp.set(this.clock.now());
        }
        read
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

/// Times that the kernel took when the packets came in.
#[cfg(target_os = "linux")]
pub(crate) mod kernel {
    use std::cell::RefCell;
    use std::io::{self, IoSliceMut};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::task::{Context, Poll, ready};

    use nix::cmsg_space;
    use nix::sys::socket::sockopt::ReceiveTimestampns;
    use nix::sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, setsockopt,
        socket,
    };
    use nix::sys::time::{TimeSpec, TimeValLike};
    use nix::time::ClockId;
    use tokio::io::{Interest, ReadBuf};
    use tokio::net::TcpStream;

    use crate::clock::{Clock, nanoseconds_of};

    /// Bytes of one read at most.
    const READ: usize = 64 * 1024;

    /// Where a thread's reads, and what the kernel says of them, are put first.
    struct Room {
        bytes: Vec<u8>,
        control: Vec<u8>,
    }

    thread_local! {
        static ROOM: RefCell<Room> = RefCell::new(Room {
            bytes: vec![0; READ],
            control: cmsg_space!(TimeSpec),
        });
    }

    /// A socket for which times are taken. While there is one, the kernel takes them from a
    /// connection's first packet on; the very first time it begins a moment later.
    ///
    /// # Errors
    /// Where it takes none: what stands for Linux need not know them.
    pub(crate) fn turned_on() -> io::Result<OwnedFd> {
        let tcp = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&tcp, ReceiveTimestampns, &true)?;
        Ok(tcp)
    }

    pub(super) fn turn_on(tcp: &TcpStream) -> io::Result<()> {
        Ok(setsockopt(tcp, ReceiveTimestampns, &true)?)
    }

    /// Reads what there is; returns when it came in.
    pub(super) fn poll_read(
        tcp: &TcpStream,
        clock: Clock,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<i64>> {
        loop {
            ready!(tcp.poll_read_ready(context))?;
            match tcp.try_io(Interest::READABLE, || receive(tcp, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(real) => return Poll::Ready(Ok(monotonic(real, clock))),
            }
        }
    }

    /// Reads once; returns the time by the kernel's clock, if it took one.
    fn receive(tcp: &TcpStream, buffer: &mut ReadBuf<'_>) -> io::Result<Option<i64>> {
        ROOM.with_borrow_mut(|Room { bytes, control }| {
            let size = buffer.remaining().min(bytes.len());
            let mut slices = [IoSliceMut::new(&mut bytes[..size])];
            let message =
                recvmsg::<()>(tcp.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty())?;
            let length = message.bytes;
            let mut time = None;
            for told in message.cmsgs()? {
                if let ControlMessageOwned::ScmTimestampns(stamp) = told {
                    time = Some(stamp.num_nanoseconds());
                }
            }
            buffer.put_slice(&bytes[..length]);
            Ok(time)
        })
    }

    /// A time by the kernel's clock, by the monotonic one: so long ago as by the other. What cannot
    /// be, since somebody set the clock meanwhile, is now.
    fn monotonic(real: Option<i64>, clock: Clock) -> i64 {
        const MOST: i64 = 60_000_000_000;
        let age = real.map_or(0, |real| nanoseconds_of(ClockId::CLOCK_REALTIME) - real);
        // Read last: whatever keeps the thread waiting between the two, it is not told too early.
        let now = clock.now();
        if (0..MOST).contains(&age) { now - age } else { now }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;
    use tokio::net::TcpStream;

    use crate::clock::Clock;

    pub(crate) fn turned_on() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn turn_on(_: &TcpStream) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn poll_read(
        _: &TcpStream,
        _: Clock,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<i64>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// When bytes were sent, their stamp, and when they were known to be there, before the read, and
    /// when they had been read.
    async fn stamp_of(stamps: Stamps) -> [i64; 4] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let clock = Clock::new();
        let mut stamped = Stamped::new(tcp, clock, stamps).unwrap();
        let before = clock.now();
        peer.write_all(b"ebb").await.unwrap();
        peer.flush().await.unwrap();
        stamped.tcp.readable().await.unwrap();
        let known = clock.now();
        let mut bytes = [0; 3];
        stamped.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ebb");
        [before, stamped.stamp().read(), known, clock.now()]
    }

    #[tokio::test]
    async fn a_read_has_its_time() {
        let [_, stamp, known, after] = stamp_of(Stamps::Read).await;
        assert!(known <= stamp && stamp <= after);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_took_it_before() {
        // The first packets after the kernel was asked for times may still have that of the read.
        let _held = kernel::turned_on().unwrap();
        let [before, stamp, _, after] = stamp_of(Stamps::Kernel).await;
        assert!(before <= stamp && stamp <= after, "{before} {stamp} {after}");
    }
}
