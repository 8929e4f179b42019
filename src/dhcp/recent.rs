//! What is remembered of a client for the length of one boot.

use std::collections::HashMap;

use super::quirks;
use super::request::Request;
use crate::model::{ClientStage, Facts, MacAddr, Timestamp};

/// Clients remembered at once. Past it the old are dropped, and if none is old, no new one is taken:
/// a flood of invented addresses costs bounded memory and nothing else.
const MOST: usize = 16_384;
/// How long a DISCOVER's facts hold for its REQUEST, in seconds.
const CONVERSATION: i64 = 60;
/// How soon after it was sent to a better iPXE a ROM's iPXE must come back for that to have failed,
/// in seconds: loading it takes one or two.
const CHAIN: i64 = 120;

/// Bounded memory by hardware address.
#[derive(Debug, Default)]
pub struct Recent {
    clients: HashMap<MacAddr, Client>,
    /// When the old were last dropped for lack of room.
    dropped: Option<i64>,
}

#[derive(Debug)]
struct Client {
    at: i64,
    xid: u32,
    facts: Facts,
    chained: Option<Chained>,
}

/// An iPXE that was sent to another one. A transaction that is repeated is told what it was told:
/// only another one comes back from there.
#[derive(Debug, Clone, Copy)]
struct Chained {
    at: i64,
    xid: u32,
    /// The transaction that was told the script after that, with which the boot is over.
    script: Option<u32>,
}

impl Recent {
    /// Takes note of a boot client's DISCOVER.
    pub fn discovered(&mut self, request: &Request<'_>, facts: &Facts, now: Timestamp) {
        let now = now.as_second();
        if let Some(client) = self.clients.get_mut(&request.mac) {
            client.at = now;
            client.xid = request.xid;
            client.facts = facts.clone();
            return;
        }
        // Looking through all of them at every address that is invented would cost what the bound
        // is to save.
        if self.clients.len() >= MOST && self.dropped != Some(now) {
            self.dropped = Some(now);
            self.clients
                .retain(|_, c| now.abs_diff(c.at) < CHAIN.unsigned_abs());
        }
        if self.clients.len() >= MOST {
            return;
        }
        self.clients.insert(
            request.mac,
            Client {
                at: now,
                xid: request.xid,
                facts: facts.clone(),
                chained: None,
            },
        );
    }

    /// The facts of a REQUEST: those of its DISCOVER where the client forgot to repeat them (the
    /// quirk `class-left-out`). Keyed by address and transaction: the same machine's operating
    /// system uses another.
    pub fn complete(&self, request: &Request<'_>, facts: Facts, now: Timestamp) -> Facts {
        if facts.stage != ClientStage::Os || !quirks::effect(request).recall {
            return facts;
        }
        match self.clients.get(&request.mac) {
            Some(client)
                if client.xid == request.xid
                    && now.as_second().abs_diff(client.at) < CONVERSATION.unsigned_abs() =>
            {
                Facts {
                    door: facts.door,
                    ip: facts.ip,
                    ..client.facts.clone()
                }
            }
            _ => facts,
        }
    }

    /// Whether this client was sent to another iPXE a moment ago, and is back.
    pub fn chained(&self, request: &Request<'_>, now: Timestamp) -> bool {
        self.clients
            .get(&request.mac)
            .and_then(|c| c.chained)
            .is_some_and(|c| {
                now.as_second().abs_diff(c.at) < CHAIN.unsigned_abs()
                    && c.xid != request.xid
                    && c.script.is_none_or(|told| told == request.xid)
            })
    }

    /// Notes that an iPXE was acknowledged, and whether it was sent to another iPXE or to the
    /// script (after which the next boot may begin anew).
    pub fn acknowledged(&mut self, request: &Request<'_>, chained: bool, now: Timestamp) {
        let Some(client) = self.clients.get_mut(&request.mac) else {
            return;
        };
        if chained {
            client.chained = Some(Chained {
                at: now.as_second(),
                xid: request.xid,
                script: None,
            });
        } else if let Some(mark) = &mut client.chained
            && mark.xid != request.xid
        {
            mark.script = Some(request.xid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BIOS, discover};
    use super::super::{facts, parse};
    use super::*;
    use crate::model::Door;

    fn seen(recent: &mut Recent, number: usize, seconds: i64) {
        let [.., a, b, c] = number.to_be_bytes();
        let bytes = discover(&format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"), BIOS);
        let request = parse(&bytes).expect("a request");
        let facts = facts(&request, Door::Dhcp);
        let now = Timestamp::from_second(seconds).expect("a time");
        recent.discovered(&request, &facts, now);
    }

    #[test]
    fn room_is_looked_for_once_a_second() {
        let mut recent = Recent::default();
        let now = 1_700_000_000;
        for number in 0..=MOST {
            seen(&mut recent, number, now);
        }
        assert_eq!(recent.clients.len(), MOST, "one is too many");
        // there would be room, had anybody looked
        for client in recent.clients.values_mut() {
            client.at = now - CHAIN;
        }
        seen(&mut recent, MOST, now);
        assert_eq!(recent.clients.len(), MOST);
        seen(&mut recent, MOST, now + 1);
        assert_eq!(recent.clients.len(), 1);
    }
}
