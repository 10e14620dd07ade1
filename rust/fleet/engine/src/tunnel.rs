//! A tunnel through a proxy, asked for with CONNECT (RFC 9110, 9.3.6).

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::fault::{ConnectFault, Fault};

/// Asks the proxy that `connection` leads to for a tunnel to the host of `target`.
pub(crate) async fn open(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Uri,
    authorization: Option<HeaderValue>,
) -> Result<Upgraded, ConnectFault> {
    let request = request_for(target, authorization)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connection)).await.map_err(|error| broken(&error))?;
    // It ends with the tunnel, or with the sender.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if !response.status().is_success() {
        return Err(ConnectFault(Fault::Refused(response.status().as_u16())));
    }
    hyper::upgrade::on(response).await.map_err(|error| broken(&error))
}

fn request_for(
    target: &Uri,
    authorization: Option<HeaderValue>,
) -> Result<Request<Empty<&'static [u8]>>, ConnectFault> {
    let host = target.host().unwrap_or_default();
    let default = if target.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let authority = format!("{host}:{}", target.port_u16().unwrap_or(default));
    let mut request = Request::connect(&authority).header(HOST, &authority);
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    request
        .body(Empty::new())
        .map_err(|_| ConnectFault(Fault::Unreachable { proxy: false, errno: None }))
}

/// A proxy that answers with what is no HTTP, or not at all.
fn broken(error: &hyper::Error) -> ConnectFault {
    ConnectFault(Fault::of_connecting(error, true))
}
