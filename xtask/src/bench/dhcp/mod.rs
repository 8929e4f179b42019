//! DHCP: whole DISCOVER, OFFER, REQUEST, ACK exchanges, with ISC's perfdhcp.

mod peers;
mod perfdhcp;

use anyhow::Result;
use farrier::cli::demo::rack::Pair;

use crate::Setting;
use crate::farrier::Farrier;
use crate::figures::{Cost, Row, Samples, Section, Target, Unit};
use crate::site::{CLIENT_NET, SERVER_NET, Site};

pub(crate) use perfdhcp::{Load, Outcome, Search};

/// Clients of the comparison with Kea.
const MANY: u32 = 20_000;
/// Clients of the comparison with dnsmasq.
const FEWER: u32 = 10_000;

const METHOD: &[&str] = &[
    "Figures are complete four-way exchanges a second at the highest rate at which at most 1 % of \
     OFFERs or ACKs are missing: perfdhcp runs for three seconds at a rate, which is raised or \
     lowered by a twelfth until it is found; a rate at which more is missing is tried twice. perfdhcp \
     plays a relay agent, in its single-threaded mode, in which it reads its answers most promptly. It \
     shares the cores with the server.",
    "Kea 2.2 has its in-memory lease file (`memfile`, written without fsync), two worker threads, \
     UDP sockets and one kind of host identifier, which suits it best. Farrier commits pool leases \
     to SQLite with `synchronous = FULL` before the ACK; leases of reserved addresses follow from the \
     site and are not stored. Farrier pings a pool address before its first offer, up to 64 at \
     once, and offers it unchecked beyond that; Kea 2.2 has no such check. dnsmasq starts with all of its \
     clients in its lease file, so that it does not ping either.",
];

pub(crate) fn run(setting: &Setting) -> Result<Section> {
    let pair = Pair::new(SERVER_NET, CLIENT_NET)?;
    let rows = vec![
        against_kea(setting, &pair, Kind::Reserved)?,
        against_kea(setting, &pair, Kind::Pool)?,
        against_dnsmasq(setting, &pair)?,
    ];
    Ok(Section {
        title: "DHCP",
        method: METHOD.iter().map(ToString::to_string).collect(),
        rows,
        commands: vec![
            Load::new(MANY, 3).shown("RATE"),
            "kea-dhcp4 -c kea.json".to_string(),
            peers::dnsmasq_words("leases").join(" "),
        ],
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reserved,
    Pool,
}

/// What one server bore, round by round.
#[derive(Debug, Default)]
pub(crate) struct Borne {
    pub(crate) rate: Samples,
    pub(crate) cost: Samples,
}

impl Borne {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.rate.add(outcome.rate);
        self.cost.add(outcome.cost);
    }
}

pub(crate) fn cost(ours: &Borne, peer: &Borne) -> Option<Cost> {
    Some(Cost {
        piece: "exchange",
        ours: ours.cost.clone(),
        peer: peer.cost.clone(),
    })
}

fn against_kea(setting: &Setting, pair: &Pair, kind: Kind) -> Result<Row> {
    let load = Load::new(MANY, 3);
    let site = Site {
        systems: if kind == Kind::Reserved { MANY } else { 10 },
        pool: kind == Kind::Pool,
        ..Site::default()
    };
    let (mut ours, mut theirs) = (Borne::default(), Borne::default());
    let (mut our_search, mut their_search) = (Search::from(8000.0), Search::from(8000.0));
    for _ in 0..setting.rounds {
        let farrier = Farrier::start(setting, pair, "farrier", &site)?;
        load.warm_up(pair)?;
        ours.add(our_search.run(pair, &load)?);
        farrier.stop()?;
        let kea = peers::kea(pair, if kind == Kind::Reserved { MANY } else { 0 })?;
        load.warm_up(pair)?;
        theirs.add(their_search.run(pair, &load)?);
        kea.stop()?;
    }
    let (what, target) = match kind {
        Kind::Reserved => ("20,000 clients with reserved addresses", 1.5),
        Kind::Pool => (
            "20,000 clients of a pool, commits that survive power loss",
            1.0,
        ),
    };
    Ok(Row {
        what: what.to_string(),
        unit: Unit::ExchangesPerSecond,
        cost: cost(&ours, &theirs),
        ours: ours.rate,
        peer: Some(("Kea memfile".to_string(), theirs.rate)),
        target: Target::Ratio(target),
    })
}

fn against_dnsmasq(setting: &Setting, pair: &Pair) -> Result<Row> {
    let load = Load::new(FEWER, 3);
    let site = Site {
        systems: 10,
        pool: true,
        ..Site::default()
    };
    let (mut ours, mut theirs) = (Borne::default(), Borne::default());
    let (mut our_search, mut their_search) = (Search::from(8000.0), Search::from(200.0));
    for _ in 0..setting.rounds {
        let farrier = Farrier::start(setting, pair, "farrier", &site)?;
        load.warm_up(pair)?;
        ours.add(our_search.run(pair, &load)?);
        farrier.stop()?;
        let dnsmasq = peers::dnsmasq(pair, FEWER)?;
        theirs.add(their_search.run(pair, &load)?);
        dnsmasq.stop()?;
    }
    Ok(Row {
        what: "10,000 clients of a pool".to_string(),
        unit: Unit::ExchangesPerSecond,
        cost: cost(&ours, &theirs),
        ours: ours.rate,
        peer: Some(("dnsmasq".to_string(), theirs.rate)),
        target: Target::Ratio(20.0),
    })
}
