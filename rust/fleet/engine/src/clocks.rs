//! The clocks of one stream, on one timer, which is moved only when it fires.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::coalescing::Connecting;
use crate::fault::Phase;
use crate::job::Job;
use crate::settings::Timeouts;

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    /// Too many heads came that are no reply's.
    Flooded,
    TimedOut(Phase),
}

/// The clocks of a stream.
pub(crate) struct Clocks {
    timeouts: Timeouts,
    phase: Phase,
    /// When the phase's time is over.
    due: Option<Instant>,
    /// When all time is over.
    end: Option<Instant>,
    /// Progress that the clock of the first byte has heard of.
    sent: u32,
    timer: Option<Pin<Box<Sleep>>>,
    /// Held while it connects.
    connecting: Option<Connecting>,
}

impl Clocks {
    /// Clocks that do not run yet.
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            phase: Phase::Total,
            due: None,
            end: None,
            sent: 0,
            timer: None,
            connecting: None,
        }
    }

    /// Begins to connect: all time runs from now on. What it is given is dropped once the request
    /// is being sent.
    pub(crate) fn begin(&mut self, connecting: Connecting) {
        let now = Instant::now();
        self.end = self.timeouts.total.and_then(|total| now.checked_add(total));
        self.enter(Phase::Connect, now);
        self.connecting = Some(connecting);
    }

    /// Takes note of the reply's head, from which on its progress counts.
    pub(crate) fn opened(&mut self) {
        self.enter(Phase::Idle, Instant::now());
    }

    /// Takes note of progress within the reply.
    pub(crate) fn progressed(&mut self) {
        if let Some(idle) = self.timeouts.idle {
            self.due = Instant::now().checked_add(idle);
        }
    }

    /// Stops the clock of the phase while it is not the peer that is waited for; returns what was
    /// left of it.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        self.due.take().map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Goes on with the clock of the phase, which has so much left.
    pub(crate) fn go_on(&mut self, left: Option<Duration>) {
        self.due = left.and_then(|left| Instant::now().checked_add(left));
    }

    /// The length of a phase.
    fn length(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Connect => self.timeouts.connect,
            Phase::FirstByte => self.timeouts.first_byte,
            Phase::Idle => self.timeouts.idle,
            Phase::Total => self.timeouts.total,
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.connecting = None;
        self.due = self.length(phase).and_then(|length| now.checked_add(length));
    }

    /// Waits for `future` until the stream is cancelled or a clock runs out.
    pub(crate) async fn until<F: Future>(
        &mut self,
        job: &Job,
        future: F,
    ) -> Result<F::Output, Stop> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Some(stop) = stop_of(job) {
                return Poll::Ready(Err(stop));
            }
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            // What was told before it listens is asked for once more.
            job.listen(context.waker());
            if let Some(stop) = stop_of(job) {
                return Poll::Ready(Err(stop));
            }
            self.hear_of_sending(job);
            self.poll_out(context).map(|phase| Err(Stop::TimedOut(phase)))
        })
        .await
    }

    /// While the request is being sent, each piece of it sets the clock of the first byte anew.
    fn hear_of_sending(&mut self, job: &Job) {
        if matches!(self.phase, Phase::Connect | Phase::FirstByte) && self.sent != job.sent() {
            self.sent = job.sent();
            self.enter(Phase::FirstByte, Instant::now());
        }
    }

    /// Tells which clock has run out, if one has.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<Phase> {
        let next = match (self.due, self.end) {
            (Some(due), Some(end)) if end < due => (end, Phase::Total),
            (Some(due), _) => (due, self.phase),
            (None, Some(end)) => (end, Phase::Total),
            (None, None) => return Poll::Pending,
        };
        let (due, phase) = next;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(context).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(phase);
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// Why the stream is to stop, if it is.
fn stop_of(job: &Job) -> Option<Stop> {
    let stop = || if job.is_cancelled() { Stop::Cancelled } else { Stop::Flooded };
    job.is_stopped().then(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::coalescing::Coalescing;
    use std::future::pending;
    use std::sync::Arc;

    fn connecting() -> Connecting {
        Arc::new(Coalescing::new(Duration::ZERO, Clock::new())).connect()
    }

    fn timeouts(connect: u64, first_byte: u64, idle: u64) -> Timeouts {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let [connect, first_byte, idle] = [connect, first_byte, idle].map(seconds);
        Timeouts { connect, first_byte, idle, total: None }
    }

    async fn ran_out(clocks: &mut Clocks, job: &Job) -> (Stop, u64) {
        let begin = Instant::now();
        let stop = clocks.until(job, pending::<()>()).await.unwrap_err();
        (stop, begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_clock() {
        let (job, mut clocks) = (Job::default(), Clocks::new(timeouts(3, 5, 7)));
        clocks.begin(connecting());
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::Connect), 3));
        job.note_sending();
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::FirstByte), 5));
        clocks.opened();
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::Idle), 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_phase_moves_the_timer_forward() {
        let (job, mut clocks) = (Job::default(), Clocks::new(timeouts(60, 1, 7)));
        clocks.begin(connecting());
        let ready = clocks.until(&job, tokio::time::sleep(Duration::from_millis(10))).await;
        assert_eq!(ready, Ok(()));
        job.note_sending();
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::FirstByte), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_paused_keeps_its_time() {
        let (job, mut clocks) = (Job::default(), Clocks::new(timeouts(1, 1, 7)));
        clocks.opened();
        let left = clocks.pause();
        let slept = clocks.until(&job, tokio::time::sleep(Duration::from_secs(100))).await;
        assert_eq!(slept, Ok(()));
        clocks.go_on(left);
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::Idle), 7));
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_it_has_a_clock() {
        let total = Timeouts { total: Some(Duration::from_secs(2)), ..timeouts(9, 9, 9) };
        let (job, mut clocks) = (Job::default(), Clocks::new(total));
        clocks.begin(connecting());
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::TimedOut(Phase::Total), 2));
    }

    #[tokio::test]
    async fn what_is_cancelled_stops() {
        let (job, mut clocks) = (Job::default(), Clocks::new(Timeouts::default()));
        job.cancel();
        assert_eq!(ran_out(&mut clocks, &job).await, (Stop::Cancelled, 0));
    }
}
