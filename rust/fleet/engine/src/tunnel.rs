//! A tunnel through a proxy, asked for with CONNECT (RFC 9110, 9.3.6).

use std::sync::Arc;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::clocks::Clocks;
use crate::fault::{ConnectFault, Fault};
use crate::job::Job;
use crate::settings::{MAX_FIELDS, MAX_HEAD_BYTES, Timeouts};

/// Asks the proxy that `connection` leads to for a tunnel to the host of `target`.
pub(crate) async fn open(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Uri,
    authorization: Option<HeaderValue>,
) -> Result<Upgraded, ConnectFault> {
    let (job, mut request) = (Arc::new(Job::default()), request_for(target, authorization)?);
    let counting = Arc::clone(&job);
    hyper::ext::on_informational(&mut request, move |_| counting.note_interim_head());
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_FIELDS)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(|error| broken(&error))?;
    // It ends with the tunnel, or with the sender.
    tokio::spawn(connection.with_upgrades());
    // No clock but that of the stream: it is stopped by too many heads alone.
    let answered = Clocks::new(Timeouts::default()).until(&job, sender.send_request(request)).await;
    let response = answered.map_err(|_| ConnectFault(Fault::InterimHeads))?;
    let response = response.map_err(|error| broken(&error))?;
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
    ConnectFault(match Fault::of_head(error) {
        Fault::NoHttp => Fault::NoTunnel { is_broken: false },
        Fault::BrokenBefore => Fault::NoTunnel { is_broken: true },
        other => other,
    })
}
