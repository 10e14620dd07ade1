//! From a URL to a connection: the name, TCP, the way through a proxy, TLS.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiFuture, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::clock::Clock;
use crate::fault::{ConnectFault, Fault, NameNotFound};
use crate::settings::{Proxy, Settings, Stamps};
use crate::stamped::{Stamp, Stamped};
use crate::tls::Trust;
use crate::tunnel;
use crate::upload::Upload;

/// Makes the connections of one thread.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    trust: Arc<OnceLock<Trust>>,
    proxy: Option<Arc<Proxy>>,
    pub(crate) clock: Clock,
    pub(crate) stamps: Stamps,
}

impl Connector {
    pub(crate) fn new(
        settings: &Settings,
        clock: Clock,
        stamps: Stamps,
        trust: Arc<OnceLock<Trust>>,
    ) -> Self {
        Self {
            tcp: tcp_of(Resolver(GaiResolver::new()), settings.timeouts.connect),
            trust,
            proxy: settings.proxy.clone().map(Arc::new),
            clock,
            stamps,
        }
    }

    async fn connect(self, target: Uri) -> Result<TokioIo<Connection>, ConnectFault> {
        let is_tls = target.scheme() == Some(&Scheme::HTTPS);
        let connection = match self.proxy.clone() {
            None => self.connect_to(&target, false).await?,
            Some(proxy) if is_tls => self.connect_through(&proxy, &target).await?,
            Some(proxy) => {
                Connection { is_forwarded: true, ..self.connect_to(&proxy.uri, true).await? }
            }
        };
        Ok(TokioIo::new(connection))
    }

    /// Connects to a host itself, over TLS where its URL says so.
    async fn connect_to(mut self, uri: &Uri, proxy: bool) -> Result<Connection, ConnectFault> {
        let connected = self.tcp.call(uri.clone()).await;
        let tcp = connected.map_err(|error| ConnectFault(Fault::of_connecting(&error, proxy)))?;
        let stamped = Stamped::new(tcp.into_inner(), self.clock, self.stamps);
        let stamped = stamped.map_err(|error| ConnectFault(Fault::of_connecting(&error, proxy)))?;
        let stamp = stamped.stamp().clone();
        let io = if uri.scheme() == Some(&Scheme::HTTPS) {
            Io::Tls(Box::new(self.shake_hands(uri, stamped, proxy).await?))
        } else {
            Io::Tcp(stamped)
        };
        Ok(Connection { io, stamp, upload: Upload::default(), is_forwarded: false })
    }

    /// Connects to a host over TLS, through a proxy that is asked for a tunnel.
    async fn connect_through(
        self,
        proxy: &Proxy,
        target: &Uri,
    ) -> Result<Connection, ConnectFault> {
        let connection = self.clone().connect_to(&proxy.uri, true).await?;
        let stamp = connection.stamp.clone();
        let tunnel = tunnel::open(connection, target, proxy.authorization.clone()).await?;
        let tls = self.shake_hands(target, TokioIo::new(tunnel), false).await?;
        let (io, upload) = (Io::Tunnel(Box::new(tls)), Upload::default());
        Ok(Connection { io, stamp, upload, is_forwarded: false })
    }

    async fn shake_hands<I: AsyncRead + AsyncWrite + Unpin>(
        &self,
        uri: &Uri,
        io: I,
        proxy: bool,
    ) -> Result<TlsStream<I>, ConnectFault> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let reason = "no certificate can be valid for the host's name".to_owned();
            ConnectFault(Fault::Tls { proxy, reason, is_distrusted: false })
        })?;
        let Some(trust) = self.trust.get() else {
            let reason = "nobody was named who is to be trusted".to_owned();
            return Err(ConnectFault(Fault::Tls { proxy, reason, is_distrusted: true }));
        };
        let shaken = TlsConnector::from(Arc::clone(&trust.0)).connect(name, io).await;
        shaken.map_err(|error| ConnectFault(Fault::of_handshake(&error, proxy)))
    }
}

/// Connects over TCP. The addresses of a name share the time there is, so that one which is silent
/// does not take it all: a little more, so that of a single one the stream's own clock runs out.
fn tcp_of<R>(resolver: R, connect: Option<Duration>) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(connect.map(|most| most.saturating_mul(5) / 4));
    tcp
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = ConnectFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().connect(target))
    }
}

/// The system's resolver, whose failures can be told from those of TCP.
#[derive(Clone)]
struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = NameNotFound;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameNotFound>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        Resolving(self.0.call(name))
    }
}

/// A name that is being looked up.
struct Resolving(GaiFuture);

impl Future for Resolving {
    type Output = Result<GaiAddrs, NameNotFound>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let found: io::Result<GaiAddrs> = ready!(Pin::new(&mut self.get_mut().0).poll(context));
        Poll::Ready(found.map_err(|_| NameNotFound))
    }
}

/// A connection that can take a request.
pub(crate) struct Connection {
    io: Io,
    stamp: Stamp,
    upload: Upload,
    /// Whether a proxy forwards requests, which then name their target in full.
    is_forwarded: bool,
}

enum Io {
    Tcp(Stamped),
    Tls(Box<TlsStream<Stamped>>),
    /// TLS with the target within a tunnel through a proxy.
    Tunnel(Box<TlsStream<TokioIo<Upgraded>>>),
}

impl hyper_util::client::legacy::connect::Connection for Connection {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_forwarded);
        connected.extra(self.stamp.clone()).extra(self.upload.clone())
    }
}

impl AsyncRead for Connection {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.upload.check()?;
        match &mut this.io {
            Io::Tcp(io) => Pin::new(io).poll_read(context, buffer),
            Io::Tls(io) => Pin::new(io).poll_read(context, buffer),
            Io::Tunnel(io) => Pin::new(io).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, upload, .. } = self.get_mut();
        upload.write(context, bytes.len(), |context| match io {
            Io::Tcp(io) => Pin::new(io).poll_write(context, bytes),
            Io::Tls(io) => Pin::new(io).poll_write(context, bytes),
            Io::Tunnel(io) => Pin::new(io).poll_write(context, bytes),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, upload, .. } = self.get_mut();
        upload.write(context, (), |context| match io {
            Io::Tcp(io) => Pin::new(io).poll_flush(context),
            Io::Tls(io) => Pin::new(io).poll_flush(context),
            Io::Tunnel(io) => Pin::new(io).poll_flush(context),
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(context),
            Io::Tls(io) => Pin::new(io).poll_shutdown(context),
            Io::Tunnel(io) => Pin::new(io).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, upload, .. } = self.get_mut();
        let all = slices.iter().map(|slice| slice.len()).sum();
        upload.write(context, all, |context| match io {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(context, slices),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(context, slices),
            Io::Tunnel(io) => Pin::new(io).poll_write_vectored(context, slices),
        })
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            Io::Tunnel(io) => io.is_write_vectored(),
        }
    }
}

#[cfg(all(test, target_os = "linux"))] // where every address that begins with 127 is this machine's
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::vec::IntoIter;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;

    /// A name that has two addresses.
    #[derive(Clone)]
    struct Both([SocketAddr; 2]);

    impl Service<Name> for Both {
        type Response = IntoIter<SocketAddr>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            std::future::ready(Ok(Vec::from(self.0).into_iter()))
        }
    }

    #[tokio::test]
    async fn an_address_that_is_silent_is_passed_over() {
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answering = there.local_addr().unwrap();
        let silent = SocketAddr::from(([127, 0, 0, 2], answering.port()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(silent).unwrap();
        let full = socket.listen(0).unwrap();
        let _waits = TcpStream::connect(silent).await.unwrap();

        let mut tcp = tcp_of(Both([silent, answering]), Some(Duration::from_millis(200)));
        let uri = format!("http://both.test:{}/", answering.port()).parse().unwrap();
        let connected = timeout(Duration::from_secs(60), tcp.call(uri)).await.unwrap().unwrap();
        assert_eq!(connected.inner().peer_addr().unwrap(), answering);
        drop(full);
    }
}
