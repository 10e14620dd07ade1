//! Times that the kernel took when the packets came in.

pub(crate) use system::{poll_read, turn_on, turned_on};

#[cfg(target_os = "linux")]
mod system {
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
    /// `Unsupported` where it takes none: what stands for Linux need not know them. Else the
    /// system's: it has no socket left.
    pub(crate) fn turned_on() -> io::Result<OwnedFd> {
        let tcp = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let is_on = setsockopt(&tcp, ReceiveTimestampns, &true);
        is_on.map_err(|_| io::ErrorKind::Unsupported)?;
        Ok(tcp)
    }

    pub(crate) fn turn_on(tcp: &TcpStream) -> io::Result<()> {
        Ok(setsockopt(tcp, ReceiveTimestampns, &true)?)
    }

    /// Reads what there is; returns when it came in.
    pub(crate) fn poll_read(
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
                Ok(Received { real, is_all }) => {
                    if is_all {
                        wait_for_more(tcp);
                    }
                    return Poll::Ready(Ok(monotonic(real, clock)));
                }
            }
        }
    }

    /// A read.
    struct Received {
        /// The time by the kernel's clock, if it took one.
        real: Option<i64>,
        /// Whether there was less than there was room for.
        is_all: bool,
    }

    /// Has the next read wait for the kernel to tell of more, as tokio's own does behind one that
    /// took all there was: asking first would be a call of the system for nothing.
    fn wait_for_more(tcp: &TcpStream) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = tcp.try_io(Interest::READABLE, nothing);
    }

    /// Reads once.
    fn receive(tcp: &TcpStream, buffer: &mut ReadBuf<'_>) -> io::Result<Received> {
        ROOM.with_borrow_mut(|Room { bytes, control }| {
            let size = buffer.remaining().min(bytes.len());
            let mut slices = [IoSliceMut::new(&mut bytes[..size])];
            let message =
                recvmsg::<()>(tcp.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty())?;
            let length = message.bytes;
            let mut real = None;
            for told in message.cmsgs()? {
                if let ControlMessageOwned::ScmTimestampns(stamp) = told {
                    real = Some(stamp.num_nanoseconds());
                }
            }
            buffer.put_slice(&bytes[..length]);
            Ok(Received { real, is_all: 0 < length && length < size })
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

/// Of systems that take none.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;
    use tokio::net::TcpStream;

    use crate::clock::Clock;

    pub(crate) fn turned_on() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn turn_on(_: &TcpStream) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn poll_read(
        _: &TcpStream,
        _: Clock,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<i64>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
