//! Many chat streams at once: sent, read, decoded and stamped in threads of their own.
//!
//! A [`Fleet`] owns the threads, each with a runtime and a pool of connections; a [`Request`] given
//! to it becomes a task of one of them. What the replies add is written into columns, which
//! [`Fleet::take`] swaps for empty ones. Nothing here knows Python.
//!
//! The way of a byte: `stamped` reads it from a socket and takes the time, `connecting` has put TLS
//! and proxies above that, hyper takes HTTP off, `stream` leads it through `inflate` into the
//! core's decoder, whose deltas `rows` writes down; `outbox` hands them over.

#[cfg(not(unix))]
compile_error!("a fleet is for Linux and macOS: it calls its taker through a Unix socket");

mod clock;
mod clocks;
mod coalescing;
mod connecting;
mod ended;
mod fault;
mod fleet;
mod inflate;
mod job;
mod kernel;
mod outbox;
mod record;
mod request;
mod rows;
mod sending;
mod settings;
mod shared;
mod stamped;
mod stream;
mod tls;
mod tunnel;
mod upload;
mod worker;

pub use clock::Clock;
pub use ended::{Ended, Ending};
pub use fault::{Fault, Phase};
pub use fleet::Fleet;
pub use job::Ticket;
pub use outbox::{Due, Taken};
pub use request::{BadRequest, Head, Request};
pub use rows::{Keep, Kind, Rows};
pub use settings::{Proxy, Settings, Stamps, Timeouts};
pub use tls::{BadTrust, Trust};

pub use http::HeaderMap;
