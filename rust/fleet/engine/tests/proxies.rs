//! TLS, and proxies in front of it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are none by their names

mod checks;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use checks::{DONE, END, HEAD, Server, chunk, end_of, event, read_request, serve, settings};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tailrace_core::End;
use tailrace_fleet_engine::{Ended, Ending, Fault, Proxy, Settings, Trust};

/// A server over TLS, and the certificate by which it is known.
fn serve_tls(name: &str) -> (Server, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = made.cert.der().to_vec();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let server = serve(move |stream| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        answer(&mut StreamOwned::new(tls, stream));
    });
    let url = server.url.replacen("http", "https", 1);
    (Server { url, ..server }, certificate)
}

fn answer(stream: &mut (impl Read + Write)) {
    if !read_request(stream).is_empty() {
        let reply = format!("{HEAD}{}{}{END}", chunk(&event("ebb")), chunk(DONE));
        stream.write_all(reply.as_bytes()).unwrap();
    }
}

fn trusting(certificate: Vec<u8>) -> Settings {
    Settings { trust: Trust::new([certificate], (true, true)).ok(), ..settings() }
}

fn is_whole(ended: &Ended) -> bool {
    ended.ending == Ending::Read(End::Done) && ended.text.as_deref() == Some("ebb")
}

/// A proxy that answers the first request with `status`, and tunnels where that is 200.
fn serve_proxy(status: &'static str) -> Server {
    serve(move |mut stream| {
        let head = read_request(&mut stream);
        let target = head.split(' ').nth(1).unwrap().to_owned();
        assert!(head.starts_with("CONNECT ") && head.contains("Basic dTpw"), "{head}");
        stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
        if status.starts_with("200") {
            tunnel(&stream, &TcpStream::connect(target).unwrap());
        }
    })
}

fn tunnel(here: &TcpStream, there: &TcpStream) {
    let [(mut from, mut to), (mut back, mut forth)] = [(here, there), (there, here)]
        .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()));
    let copying = thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut back, &mut forth);
    let _ = here.shutdown(std::net::Shutdown::Both);
    let _ = copying.join().unwrap();
}

fn through(proxy: &Server, settings: Settings) -> Settings {
    let url = proxy.url.trim_end_matches("/v1/chat");
    Settings { proxy: Proxy::new(url, Some(b"Basic dTpw")), ..settings }
}

#[test]
fn over_tls() {
    let (server, certificate) = serve_tls("127.0.0.1");
    assert!(is_whole(&end_of(trusting(certificate), &server.url)));
}

#[test]
fn who_is_not_trusted_is_named() {
    let (server, _) = serve_tls("127.0.0.1");
    let fault = end_of(settings(), &server.url).fault.unwrap();
    assert!(matches!(fault, Fault::Tls { proxy: false, is_distrusted: true, .. }), "{fault:?}");
    let (other, certificate) = serve_tls("other.example");
    let fault = end_of(trusting(certificate), &other.url).fault.unwrap();
    assert!(matches!(fault, Fault::Tls { is_distrusted: false, .. }), "{fault:?}");
}

#[test]
fn what_is_no_tls_is_named() {
    let server = serve(|mut stream| {
        // Longer than a head of TLS, by which it is judged.
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let fault = end_of(settings(), &server.url.replacen("http", "https", 1)).fault.unwrap();
    assert!(matches!(fault, Fault::Tls { .. }), "{fault:?}");
}

#[test]
fn through_a_tunnel() {
    let (server, certificate) = serve_tls("127.0.0.1");
    let proxy = serve_proxy("200 OK");
    assert!(is_whole(&end_of(through(&proxy, trusting(certificate)), &server.url)));
}

#[test]
fn a_proxy_may_refuse() {
    let proxy = serve_proxy("407 Proxy Authentication Required");
    let ended = end_of(through(&proxy, settings()), "https://127.0.0.1:9/");
    assert_eq!(ended.fault, Some(Fault::Refused(407)));
}

#[test]
fn a_proxy_may_forward() {
    let proxy = serve(|mut stream| {
        let head = read_request(&mut stream);
        assert!(head.starts_with("POST http://site.example/v1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Basic dTpw"), "{head}");
        let reply = format!("{HEAD}{}{}{END}", chunk(&event("ebb")), chunk(DONE));
        stream.write_all(reply.as_bytes()).unwrap();
    });
    assert!(is_whole(&end_of(through(&proxy, settings()), "http://site.example/v1")));
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let settings = Settings { proxy: Proxy::new("http://127.0.0.1:1", None), ..settings() };
    for url in ["http://site.example/", "https://site.example/"] {
        let fault = end_of(settings.clone(), url).fault.unwrap();
        assert!(matches!(fault, Fault::Unreachable { proxy: true, .. }), "{fault:?}");
    }
}
