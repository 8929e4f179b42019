//! The free addresses of one subnet's pool, without a list of them.
//!
//! Addresses that were never given out are found by a cursor over the ranges; those that came back
//! unused wait in a queue; those of ended leases are ordered by the time they ended, so that an
//! address stays its last holder's for as long as possible. Each step is constant or logarithmic.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use crate::model::AddressRange;

/// The state of one pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// As the site has them; another revision makes a new pool.
    ranges: Vec<AddressRange>,
    /// Which range the cursor is in, and the next address in it.
    cursor: (usize, u64),
    /// Offered and not taken.
    returned: VecDeque<Ipv4Addr>,
    /// When each lease ends or ended, in seconds.
    ends: BTreeSet<(i64, Ipv4Addr)>,
}

impl Pool {
    pub(super) fn new(ranges: Vec<AddressRange>) -> Self {
        let first = ranges.first().map_or(0, |r| u64::from(u32::from(r.first)));
        Pool {
            ranges,
            cursor: (0, first),
            returned: VecDeque::new(),
            ends: BTreeSet::new(),
        }
    }

    /// The next address that `free` agrees to. Those it refuses are not asked about again until
    /// they are given back.
    pub(super) fn next(&mut self, mut free: impl FnMut(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        while let Some(ip) = self.returned.pop_front() {
            if free(ip) {
                return Some(ip);
            }
        }
        loop {
            let range = self.ranges.get(self.cursor.0)?;
            let last = u64::from(u32::from(range.last));
            while self.cursor.1 <= last {
                // `<= last` and `last` fits in 32 bits
                let ip = Ipv4Addr::from(self.cursor.1 as u32);
                self.cursor.1 += 1;
                if free(ip) {
                    return Some(ip);
                }
            }
            self.cursor.0 += 1;
            let next = self.ranges.get(self.cursor.0)?;
            self.cursor.1 = u64::from(u32::from(next.first));
        }
    }

    /// The address whose lease ended first and before `now`, that `free` agrees to.
    pub(super) fn ended(
        &self,
        now: i64,
        mut free: impl FnMut(Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        self.ends
            .iter()
            .take_while(|(end, _)| *end <= now)
            .map(|(_, ip)| *ip)
            .find(|ip| free(*ip))
    }

    /// An offer was not taken.
    pub(super) fn give_back(&mut self, ip: Ipv4Addr) {
        self.returned.push_back(ip);
    }

    /// A lease got another end; `None` before it existed or after it is gone.
    pub(super) fn moved(&mut self, ip: Ipv4Addr, from: Option<i64>, to: Option<i64>) {
        if let Some(end) = from {
            self.ends.remove(&(end, ip));
        }
        if let Some(end) = to {
            self.ends.insert((end, ip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: [u8; 4], last: [u8; 4]) -> AddressRange {
        AddressRange {
            first: first.into(),
            last: last.into(),
        }
    }

    #[test]
    fn the_cursor_visits_each_address_once() {
        let mut pool = Pool::new(vec![
            range([10, 0, 0, 1], [10, 0, 0, 2]),
            range([255, 255, 255, 254], [255, 255, 255, 255]),
        ]);
        let mut seen = Vec::new();
        while let Some(ip) = pool.next(|ip| ip != Ipv4Addr::new(10, 0, 0, 1)) {
            seen.push(ip.to_string());
        }
        assert_eq!(seen, ["10.0.0.2", "255.255.255.254", "255.255.255.255"]);
        pool.give_back(Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(pool.next(|_| true), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(pool.next(|_| true), None);
    }

    #[test]
    fn the_longest_ended_goes_first() {
        let mut pool = Pool::new(Vec::new());
        let ip = |n| Ipv4Addr::new(10, 0, 0, n);
        pool.moved(ip(1), None, Some(50));
        pool.moved(ip(2), None, Some(40));
        pool.moved(ip(3), None, Some(200));
        assert_eq!(pool.ended(100, |_| true), Some(ip(2)));
        pool.moved(ip(2), Some(40), Some(300));
        assert_eq!(pool.ended(100, |_| true), Some(ip(1)));
        assert_eq!(pool.ended(100, |i| i != ip(1)), None);
    }
}
