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
}

#[derive(Debug)]
struct Client {
    at: i64,
    xid: u32,
    facts: Facts,
    chained: Option<i64>,
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
        if self.clients.len() >= MOST {
            self.clients
                .retain(|_, c| now.abs_diff(c.at) < CHAIN.unsigned_abs());
            if self.clients.len() >= MOST {
                return;
            }
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

    /// Whether this client was sent to another iPXE a moment ago.
    pub fn chained(&self, mac: MacAddr, now: Timestamp) -> bool {
        self.clients
            .get(&mac)
            .and_then(|c| c.chained)
            .is_some_and(|at| now.as_second().abs_diff(at) < CHAIN.unsigned_abs())
    }

    /// Notes that an iPXE was acknowledged, and whether it was sent to another iPXE or to the
    /// script (after which the next boot may begin anew).
    pub fn acknowledged(&mut self, mac: MacAddr, chained: bool, now: Timestamp) {
        if let Some(client) = self.clients.get_mut(&mac) {
            client.chained = chained.then(|| now.as_second());
        }
    }
}
