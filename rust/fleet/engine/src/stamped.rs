//! A TCP connection that takes the time of each read, below TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::kernel;
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
