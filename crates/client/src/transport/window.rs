//! The number of requests that may be in progress at one host, which adapts to the host.
//!
//! The number starts at its maximum. It is halved if the host is overloaded, at most once per round
//! trip: requests that were sent before the last change do not count. It grows by one for each round
//! trip in which all places were used. This is additive increase and multiplicative decrease (AIMD),
//! as in TCP.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The places for requests to one host.
#[derive(Debug)]
pub(crate) struct Window {
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: f64,
    /// The number of places. The fraction is the progress to the next place.
    size: f64,
    /// The places to remove as soon as they are free.
    debt: usize,
    /// The time of the last decrease.
    decreased: Option<Instant>,
    /// The shortest time to a reply, which ages slowly.
    fastest: Option<Duration>,
}

/// What the result of a request shows about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The host could not answer the request.
    Overloaded,
    /// The request takes the host little work, so a slow reply shows that the host is overloaded.
    Light,
    /// The duration shows nothing, because the host may have worked on the request.
    Heavy,
}

/// A place for one request. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    window: &'a Window,
    permit: Option<SemaphorePermit<'a>>,
    since: Instant,
    /// True if this request took the last free place.
    is_last: bool,
}

impl Window {
    pub(crate) fn new(max: NonZeroUsize) -> Self {
        let max = max.get();
        #[expect(clippy::cast_precision_loss, reason = "the number of places is small")]
        let size = max as f64;
        let state = State { max: size, size, debt: 0, decreased: None, fastest: None };
        Self { places: Semaphore::new(max), state: Mutex::new(state) }
    }

    /// Returns a place, if one is free.
    pub(crate) fn try_enter(&self) -> Option<Place<'_>> {
        self.places.try_acquire().ok().map(|permit| self.place(Some(permit)))
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Place<'_> {
        // The semaphore is never closed, so acquiring a permit never fails.
        self.place(self.places.acquire().await.ok())
    }

    fn place<'a>(&'a self, permit: Option<SemaphorePermit<'a>>) -> Place<'a> {
        let is_last = self.places.available_permits() == 0;
        Place { window: self, permit, since: Instant::now(), is_last }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the number of places.
    fn resize(&self, state: &mut State, size: f64) {
        let (before, after) = (whole(state.size), whole(size));
        state.size = size;
        if after < before {
            let removed = self.places.forget_permits(before - after);
            state.debt += before - after - removed;
        } else {
            let paid = state.debt.min(after - before);
            state.debt -= paid;
            self.places.add_permits(after - before - paid);
        }
    }
}

impl Place<'_> {
    /// Begins the request, whose duration is measured.
    pub(crate) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// Records the result of the request.
    pub(crate) fn record(&self, answer: Answer) {
        let mut state = self.window.state();
        let took = self.since.elapsed();
        let is_overloaded = match answer {
            Answer::Overloaded => true,
            Answer::Light => state.is_slow(took),
            Answer::Heavy => false,
        };
        if is_overloaded {
            if state.decreased.is_none_or(|at| self.since >= at) {
                let size = (state.size / 2.0).max(1.0);
                tracing::debug!(places = whole(size), ?took, "the host is overloaded");
                self.window.resize(&mut state, size);
                state.decreased = Some(Instant::now());
            }
        } else if self.is_last && state.size < state.max {
            let size = (state.size + 1.0 / state.size).min(state.max);
            self.window.resize(&mut state, size);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.window.state();
        if state.debt > 0
            && let Some(permit) = self.permit.take()
        {
            state.debt -= 1;
            permit.forget();
        }
    }
}

impl State {
    /// Returns true if a reply took far longer than the fastest replies.
    fn is_slow(&mut self, took: Duration) -> bool {
        let fastest = self.fastest.map_or(took, |fastest| took.min(fastest + fastest / AGING));
        self.fastest = Some(fastest);
        took > SLOW.max(fastest * SLOWDOWN)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1")]
fn whole(size: f64) -> usize {
    size as usize
}

/// 2 s: a faster reply never counts as slow. On a fast
/// network, replies to 32 requests at a time normally take 20 times as long as the reply to one.
const SLOW: Duration = Duration::from_secs(2);
/// A reply is slow if it takes 8 times as long as the fastest.
const SLOWDOWN: u32 = 8;
/// The shortest time grows by 1/64 with each reply, so that an old measurement loses its weight.
const AGING: u32 = 64;

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    fn window(max: usize) -> Window {
        Window::new(NonZeroUsize::new(max).unwrap())
    }

    fn free(window: &Window) -> usize {
        window.places.available_permits()
    }

    /// Uses all free places for a second, with this result.
    async fn round(window: &Window, is_overloaded: bool) {
        let answer = if is_overloaded { Answer::Overloaded } else { Answer::Heavy };
        let places: Vec<_> = std::iter::from_fn(|| window.try_enter()).collect();
        sleep(Duration::from_secs(1)).await;
        places.iter().for_each(|place| place.record(answer));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_host_gets_half_as_many_requests_per_round_trip() {
        let window = window(9);
        for left in [4, 2, 1, 1] {
            round(&window, true).await;
            assert_eq!(free(&window), left);
        }
        // Requests from before a decrease do not decrease the number again.
        let window = self::window(8);
        let early: Vec<_> = (0..4).map(|_| window.try_enter().unwrap()).collect();
        sleep(Duration::from_secs(1)).await;
        early.iter().for_each(|place| place.record(Answer::Overloaded));
        drop(early);
        assert_eq!(free(&window), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_grows_by_one_per_round_trip_up_to_the_maximum() {
        let window = window(4);
        round(&window, true).await;
        round(&window, true).await;
        assert_eq!(free(&window), 1);
        let mut sizes = Vec::new();
        for _ in 0..8 {
            // The last place grows the window by a place, in as many rounds as there are places.
            round(&window, false).await;
            sizes.push(free(&window));
        }
        assert!(sizes.is_sorted() && sizes.contains(&2) && sizes.contains(&3), "{sizes:?}");
        for _ in 0..9 {
            round(&window, false).await;
        }
        assert_eq!(free(&window), 4);
        // A host whose places are not all used does not get more.
        round(&window, true).await;
        let one = window.try_enter().unwrap();
        one.record(Answer::Heavy);
        drop(one);
        assert_eq!(free(&window), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_replies_that_are_much_slower_than_the_fastest_count() {
        let window = window(8);
        for (took, left) in [(50, 8), (1_900, 8), (2_100, 4), (50, 4)] {
            let place = window.try_enter().unwrap();
            sleep(Duration::from_millis(took)).await;
            place.record(Answer::Light);
            drop(place);
            assert_eq!(free(&window), left, "{took} ms");
        }
        // A host that is always slow is not overloaded.
        let slow = self::window(8);
        for _ in 0..3 {
            let place = slow.try_enter().unwrap();
            sleep(Duration::from_secs(5)).await;
            place.record(Answer::Light);
        }
        assert_eq!(free(&slow), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_in_use_is_removed_when_it_is_free() {
        let window = window(4);
        let places: Vec<_> = (0..4).map(|_| window.try_enter().unwrap()).collect();
        places[0].record(Answer::Overloaded);
        assert_eq!(free(&window), 0);
        for (place, left) in places.into_iter().zip([0, 0, 1, 2]) {
            drop(place);
            assert_eq!(free(&window), left);
        }
    }
}
