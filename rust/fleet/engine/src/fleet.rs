//! The threads of a fleet, and how they are spoken to from others.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::clock::Clock;
use crate::connecting::Connector;
use crate::job::{Job, Ticket};
use crate::outbox::{Due, Taken, Waiting, lock};
use crate::request::Request;
use crate::settings::{Settings, Stamps};
use crate::shared::Shared;
use crate::tls::Trust;
use crate::worker::{self, Command};

/// Threads that look up names, of each runtime.
const RESOLVERS: usize = 8;

/// Many streams at once, in threads of their own, which end with it.
#[derive(Debug)]
pub struct Fleet {
    /// The process that has the threads. A fork of it has none of them.
    process: u32,
    clock: Clock,
    stamps: Stamps,
    /// Held, so that the system takes the times.
    _stamping: Option<OwnedFd>,
    trust: Arc<OnceLock<Trust>>,
    waiting: Arc<Waiting>,
    threads: Vec<Thread>,
    next: AtomicUsize,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Thread {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Fleet {
    /// Starts the threads.
    ///
    /// # Errors
    /// Where the system has no more threads or descriptors; `Unsupported` where the kernel is to take
    /// the times, and cannot.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let (stamps, stamping) = Stamps::begin(settings.stamps)?;
        let trust = Arc::new(settings.trust.clone().map_or_else(OnceLock::new, OnceLock::from));
        let (clock, threads) = (Clock::new(), settings.threads.max(1));
        let (waiting, settings) = (Arc::new(Waiting::new(settings.max_rows)), Arc::new(settings));
        let mut fleet = Self {
            process: std::process::id(),
            clock,
            stamps,
            _stamping: stamping,
            trust: Arc::clone(&trust),
            waiting: Arc::clone(&waiting),
            threads: Vec::with_capacity(threads),
            next: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        };
        for number in 0..threads {
            let connector = Connector::new(&settings, clock, stamps, Arc::clone(&trust));
            let shared = Shared::new(Arc::clone(&settings), connector, Arc::clone(&waiting));
            fleet.threads.push(Thread::start(number, Arc::new(shared))?);
        }
        Ok(fleet)
    }

    /// Whether this process has the threads: a fork has none, and may do nothing but drop it.
    pub fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Whether it was told whom to trust over TLS.
    pub fn has_trust(&self) -> bool {
        self.trust.get().is_some()
    }

    /// Has it trust these over TLS, unless it was told before.
    pub fn trust(&self, trust: Trust) {
        // Whoever else told it first did so just now.
        let _ = self.trust.set(trust);
    }

    /// Where the times of its reads are taken.
    pub fn stamps(&self) -> Stamps {
        self.stamps
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Sends requests, each when it is due; `None` where the fleet is closed.
    pub fn submit(&self, requests: Vec<Request>) -> Option<Vec<Ticket>> {
        if self.is_closed() {
            return None;
        }
        let mut shares: Vec<Vec<(Arc<Job>, Request)>> = Vec::new();
        shares.resize_with(self.threads.len(), Vec::new);
        let mut tickets = Vec::with_capacity(requests.len());
        for request in requests {
            let job = Arc::new(Job::default());
            tickets.push(Ticket::new(self.process, request.tag, Arc::clone(&job)));
            self.waiting.begin();
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % shares.len();
            shares[turn].push((job, request));
        }
        for (thread, share) in self.threads.iter().zip(shares) {
            if !share.is_empty() && thread.commands.send(Command::Begin(share)).is_err() {
                return None;
            }
        }
        Some(tickets)
    }

    /// Takes all that was read and has not been taken: of each thread that has anything.
    pub fn take(&self) -> Vec<Taken> {
        let taken = self.threads.iter().map(|thread| thread.shared.outbox.take());
        let taken: Vec<Taken> =
            taken.filter(|taken| !taken.rows.is_empty() || !taken.ended.is_empty()).collect();
        for each in &taken {
            self.waiting.remove(each);
        }
        // Whether anybody waits is not asked: it may have become full just before all was taken.
        for thread in &self.threads {
            thread.shared.outbox.room.notify_waiters();
        }
        taken
    }

    /// When to take, so that no row waits longer than `max_wait`. The bell rings anew from now on.
    pub fn due(&self, max_wait: Duration) -> Due {
        self.waiting.bell.forget();
        if self.is_closed() { Due::Over } else { self.waiting.due(max_wait, self.clock.now()) }
    }

    /// Waits in this thread until the bell rings, at most so long; returns whether it has rung.
    pub fn wait(&self, most: Duration) -> bool {
        self.waiting.bell.wait(most)
    }

    /// Has the bell ring by a byte in a socket, whose other end is returned.
    ///
    /// # Errors
    /// Where there are no more descriptors.
    pub fn bell(&self) -> io::Result<UnixStream> {
        self.waiting.bell.connect()
    }

    /// Streams that have not ended.
    pub fn under_way(&self) -> usize {
        self.waiting.under_way()
    }

    /// Drops all streams and waits for the threads to end. In a fork it does nothing.
    pub fn close(&self) {
        if !self.is_ours() || self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        for thread in &self.threads {
            // One that has ended needs not be told.
            let _ = thread.commands.send(Command::Close);
        }
        for thread in &self.threads {
            if let Some(handle) = lock(&thread.handle).take() {
                // What it panicked of was told by the streams it had.
                let _ = handle.join();
            }
        }
        self.waiting.bell.ring();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.is_ours() {
            self.close();
        } else {
            // Of what threads of another process share, a lock may be held for ever.
            std::mem::forget(std::mem::take(&mut self.threads));
        }
    }
}

impl Thread {
    fn start(number: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let coalescing = Arc::clone(&shared.coalescing);
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(RESOLVERS)
            .thread_name("fleet-names")
            .on_thread_park(move || coalescing.rest())
            .build()?;
        let (commands, receiver) = unbounded_channel();
        let own = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name(format!("fleet-{number}"))
            .spawn(move || worker::run(own, runtime, receiver))?;
        Ok(Self { shared, commands, handle: Mutex::new(Some(handle)) })
    }
}
