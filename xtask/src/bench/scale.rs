//! A site of 100,000 systems.

use anyhow::Result;
use farrier::cli::demo::rack::Pair;

use crate::Setting;
use crate::dhcp::{self, Borne, Load, Search};
use crate::farrier::Farrier;
use crate::figures::{Cost, Row, Samples, Section, Target, Unit};
use crate::peer::put;
use crate::site::{CLIENT_NET, SERVER, SERVER_NET, Site, behind_a_router};
use crate::{http, wrk};

/// A large site.
const LARGE: u32 = 100_000;
/// A small one.
const SMALL: u32 = 10;
/// How often each command is timed in a round.
const TIMES: usize = 5;

const METHOD: &[&str] = &[
    "Load: from the start of `farrier serve` on an empty state directory until it says that every door is \
     open, with the documents of 2,000 systems of each profile rendered; a thread that gives way to the doors \
     renders the others afterwards. Memory is the most it held when it was ready (`VmHWM`). `add` and \
     `show` are the whole command as typed, including its own start.",
    "Answers with 100,000 systems stand beside answers with ten in the same run, each asked by as many \
     clients: perfdhcp for DHCP (highest rate with at most 1 % lost, as above), wrk over 32 connections for \
     boot scripts, once all systems are rendered. A ratio of 1 means that the size of the site makes no difference; 0.95 and more counts as reached, \
     which is as well as two runs of the same agree.",
];

pub(crate) fn run(setting: &Setting) -> Result<Section> {
    let pair = Pair::new(SERVER_NET, CLIENT_NET)?;
    behind_a_router(&pair)?;
    let mut found = Found::default();
    let mut searches = [Search::from(8000.0), Search::from(8000.0)];
    for round in 0..setting.rounds {
        for (at, systems) in [LARGE, SMALL].into_iter().enumerate() {
            let leases = Site {
                systems,
                ..Site::default()
            };
            let farrier = Farrier::start(setting, &pair, "farrier", &leases)?;
            if systems == LARGE {
                found.load.add(farrier.took.as_secs_f64());
                found.peak.add(farrier.peak());
                found.commands(&farrier, round)?;
            }
            let load = Load::new(systems, 3);
            if systems == SMALL {
                load.warm_up(&pair)?;
            }
            found.dhcp[at].add(searches[at].run(&pair, &load)?);
            farrier.stop()?;

            let scripts = Site {
                dhcp_off: true,
                ..leases
            };
            let farrier = Farrier::start(setting, &pair, "farrier", &scripts)?;
            farrier.settle()?;
            let lua = put(pair.dir(), "scripts.lua", http::lua(systems, LARGE))?
                .display()
                .to_string();
            let url = format!("http://{SERVER}/");
            let outcome = wrk::run(&pair, &["-t2", "-c32", "-d4s", "-s", &lua, &url])?;
            found.scripts[at].add(outcome.requests);
            found.script_cost[at].add(outcome.per_request());
            farrier.stop()?;
        }
    }
    Ok(found.section())
}

#[derive(Debug, Default)]
struct Found {
    load: Samples,
    peak: Samples,
    add: Samples,
    show: Samples,
    dhcp: [Borne; 2],
    scripts: [Samples; 2],
    script_cost: [Samples; 2],
}

impl Found {
    fn commands(&mut self, farrier: &Farrier, round: usize) -> Result<()> {
        for time in 0..TIMES {
            let name = format!("new{round}{time}");
            let mac = format!("52:54:00:00:{round:02x}:{time:02x}");
            let add = farrier.run(&["add", &name, &mac, "bench"])?;
            self.add.add(add.as_secs_f64() * 1e3);
            let show = farrier.run(&["show", "node050000"])?;
            self.show.add(show.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    fn section(self) -> Section {
        let alone = |what: &str, unit, ours, most| Row {
            what: what.to_string(),
            unit,
            ours,
            peer: None,
            target: Target::Below(most),
            cost: None,
        };
        let [dhcp, dhcp_ten] = self.dhcp;
        let [scripts, scripts_ten] = self.scripts;
        let [script_cost, script_cost_ten] = self.script_cost;
        let beside = |what: &str, unit, ours, ten, cost| Row {
            what: what.to_string(),
            unit,
            ours,
            peer: Some(("ten systems".to_string(), ten)),
            target: Target::Ratio(0.95),
            cost,
        };
        let dhcp_cost = dhcp::cost(&dhcp, &dhcp_ten);
        let script_cost = Some(Cost {
            piece: "request",
            ours: script_cost,
            peer: script_cost_ten,
        });
        Section {
            title: "100,000 systems",
            method: METHOD.iter().map(ToString::to_string).collect(),
            rows: vec![
                alone("load", Unit::Seconds, self.load, 5.0),
                alone("memory while loading", Unit::Megabytes, self.peak, 400.0),
                alone("`farrier add`", Unit::Milliseconds, self.add, 100.0),
                alone("`farrier show`", Unit::Milliseconds, self.show, 100.0),
                beside(
                    "DHCP exchanges",
                    Unit::ExchangesPerSecond,
                    dhcp.rate,
                    dhcp_ten.rate,
                    dhcp_cost,
                ),
                beside(
                    "boot scripts",
                    Unit::RequestsPerSecond,
                    scripts,
                    scripts_ten,
                    script_cost,
                ),
            ],
            commands: vec![
                "farrier add NAME MAC bench".to_string(),
                "farrier show node050000".to_string(),
                Load::new(LARGE, 3).shown("RATE"),
                "wrk --timeout=30s -t2 -c32 -d4s -s scripts.lua http://10.77.0.1/".to_string(),
            ],
        }
    }
}
