//! Whose turn it is to fetch from an upstream: so many at once, so many waiting, and every client in
//! its turn, so that one machine that asks for a thousand files delays another's one file by one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

/// How much is let through, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Transfers from one upstream at once.
    pub transfers: usize,
    /// Of them, those that one client may have caused.
    pub of_one: usize,
    /// Transfers that wait for a turn; more are refused.
    pub waiting: usize,
    /// Of them, those of one client.
    pub waiting_of_one: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            transfers: 32,
            of_one: 8,
            waiting: 1024,
            // as many as one address may have connections
            waiting_of_one: 64,
        }
    }
}

/// The turns of one upstream.
#[derive(Debug)]
pub(super) struct Turns {
    limits: Admission,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Transfers under way, by who caused them.
    under_way: HashMap<IpAddr, usize>,
    all: usize,
    /// Clients that wait, the next one first, each with what it waits for.
    queue: VecDeque<(IpAddr, VecDeque<oneshot::Sender<Turn>>)>,
    waiting: usize,
}

/// One transfer's turn; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    client: IpAddr,
}

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Turns {
    pub(super) fn new(limits: Admission) -> Arc<Turns> {
        Arc::new(Turns {
            limits,
            state: Mutex::default(),
        })
    }

    /// Waits for a turn, which is this client's.
    pub(super) async fn take(self: &Arc<Self>, client: IpAddr) -> Result<Turn, Full> {
        let turn = self.ask(client)?;
        // its sender is kept until it is served
        turn.await.map_err(|_| Full)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn ask(self: &Arc<Self>, client: IpAddr) -> Result<oneshot::Receiver<Turn>, Full> {
        let mut state = self.state();
        let (sender, receiver) = oneshot::channel();
        let here = state.queue.iter().position(|(c, _)| *c == client);
        let of_one = here.map_or(0, |at| state.queue[at].1.len());
        let full = state.waiting >= self.limits.waiting || of_one >= self.limits.waiting_of_one;
        if full && (state.all >= self.limits.transfers || of_one > 0) {
            return Err(Full);
        }
        match here {
            Some(at) => state.queue[at].1.push_back(sender),
            None => state.queue.push_back((client, VecDeque::from([sender]))),
        }
        state.waiting += 1;
        drop(state);
        self.serve();
        Ok(receiver)
    }

    /// Gives turns to those that wait, as far as there are any.
    fn serve(self: &Arc<Self>) {
        loop {
            // the lock is given back before a turn that nobody takes comes back through `Drop`
            let next = self.state().next(&self.limits);
            let Some((client, sender)) = next else { return };
            let turn = Turn {
                turns: self.clone(),
                client,
            };
            // Whoever waited may be gone: then the turn comes back by being dropped here.
            let _kept_or_back = sender.send(turn);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // counts are right whatever panicked around them
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    /// The next that may go, counted as under way: the first client in line that has not too many
    /// under way. It goes to the end of the line with the rest of its wishes.
    fn next(&mut self, limits: &Admission) -> Option<(IpAddr, oneshot::Sender<Turn>)> {
        while self.all < limits.transfers {
            let may = |client: &IpAddr| {
                self.under_way
                    .get(client)
                    .is_none_or(|n| *n < limits.of_one)
            };
            let at = self.queue.iter().position(|(client, _)| may(client))?;
            let (client, mut wishes) = self.queue.remove(at)?;
            let first = wishes.pop_front();
            if !wishes.is_empty() {
                self.queue.push_back((client, wishes));
            }
            self.waiting -= 1;
            if let Some(sender) = first.filter(|s| !s.is_closed()) {
                self.all += 1;
                *self.under_way.entry(client).or_default() += 1;
                return Some((client, sender));
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.all -= 1;
        if let Some(count) = state.under_way.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                state.under_way.remove(&self.client);
            }
        }
        drop(state);
        self.turns.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([10, 77, 0, n])
    }

    fn turns(transfers: usize, of_one: usize) -> Arc<Turns> {
        Turns::new(Admission {
            transfers,
            of_one,
            waiting: 6,
            waiting_of_one: 4,
        })
    }

    /// Those that have a turn, of receivers by name.
    fn served(
        asked: &mut Vec<(&'static str, oneshot::Receiver<Turn>)>,
    ) -> Vec<(&'static str, Turn)> {
        let mut out = Vec::new();
        asked.retain_mut(|(name, receiver)| match receiver.try_recv() {
            Ok(turn) => {
                out.push((*name, turn));
                false
            }
            Err(_) => true,
        });
        out
    }

    #[test]
    fn clients_take_turns() {
        let turns = turns(1, 1);
        let mut asked = Vec::new();
        for (name, who) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2), ("c1", 3)] {
            asked.push((name, turns.ask(client(who)).expect("room")));
        }
        let mut order = Vec::new();
        while let Some((name, turn)) = served(&mut asked).pop() {
            order.push(name);
            drop(turn);
        }
        assert_eq!(order, ["a1", "a2", "b1", "c1", "a3"]);
    }

    #[test]
    fn one_client_never_has_all_turns() {
        let turns = turns(3, 2);
        let mut asked = Vec::new();
        for name in ["a1", "a2", "a3"] {
            asked.push((name, turns.ask(client(1)).expect("room")));
        }
        let mut held = served(&mut asked);
        assert_eq!(held.len(), 2, "the third is left for another");
        asked.push(("b1", turns.ask(client(2)).expect("room")));
        held.extend(served(&mut asked));
        let names: Vec<_> = held.iter().map(|(n, _)| *n).collect();
        assert_eq!(names, ["a1", "a2", "b1"]);
        held.remove(0);
        assert_eq!(served(&mut asked)[0].0, "a3");
    }

    #[test]
    fn few_wait_and_who_left_is_passed_over() {
        let turns = turns(1, 1);
        let mut asked = vec![("a1", turns.ask(client(1)).expect("free"))];
        let first = served(&mut asked);
        for _ in 0..4 {
            asked.push(("a", turns.ask(client(1)).expect("room")));
        }
        assert_eq!(turns.ask(client(1)).err(), Some(Full), "of one client");
        for n in 2..4 {
            asked.push(("b", turns.ask(client(n)).expect("room")));
        }
        assert_eq!(turns.ask(client(9)).err(), Some(Full), "of all");
        // all of them leave, and the turn is not lost with them
        asked.clear();
        drop(first);
        let mut asked = vec![("z", turns.ask(client(9)).expect("free"))];
        assert_eq!(served(&mut asked).len(), 1);
        let state = turns.state();
        assert_eq!((state.all, state.waiting, state.queue.len()), (0, 0, 0));
    }
}
