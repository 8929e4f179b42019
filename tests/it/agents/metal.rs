//! Puppet on a machine of which nothing is played: real firmware, a blank disk that FAI installs, the
//! first-boot unit under systemd, a real Puppet run against a real Puppet Server. It is ready because
//! the run succeeded; rebuilt with a broken manifest it fails, and it is said which resource did.

use std::fs;
use std::time::Instant;

use farrier::cli::demo::rack::{Firmware, Machine, Rack, RackError, Server, tools};
use farrier::model::Phase;

use super::puppetserver::{
    BROKEN, CERTNAME, NAME, Puppet, declare, handoff, names_what_failed, succeeded,
};
use super::root::{NEEDS, own_mounts};
use crate::rack::scenario::{in_order, tells, to_its_end};
use crate::rack::{can_run, outside, site};

const SCENARIO: &str = "FAI and Puppet on BIOS";

/// What a site adds to `fai`: the agent's package, and the hand-off.
const PROFILE: &str = r#"
inherit  = "fai"
packages = ["puppet-agent"]
# On a host that is busy an emulated timer is late, and the kernel's check of it would end in a panic.
[vars]
installer_options = ["no_timer_check"]
kernel_options    = ["no_timer_check"]
[deadline]
install    = "60m"
first_boot = "30m"
configure  = "40m"
[handoff]
"#;

/// After Puppet: what it left on this machine, and whether its service was kept off.
const LOOK: &str = r#"#!/bin/sh
set -eu
echo "MOTD=$(cat /etc/motd)="
echo "SERVICE=$(systemctl is-enabled puppet.service || :) $(systemctl is-active puppet.service || :)="
[ ! -e /etc/puppet/csr_attributes.yaml ]
"#;

/// What one build records on its way to Puppet's end.
const STORY: &[&str] = &[
    "flagged",
    "boot-began",
    "script-served",
    "answer-fetched",
    "installer-started",
    "write-permitted",
    "installer-ended",
    "handoff-redeemed",
    "enrolled",
    "run-reported",
    "agent-reported",
];

#[test]
fn a_real_machine_is_ready_because_its_puppet_run_succeeded() -> Result<(), RackError> {
    let needs = [
        tools::NETWORK,
        tools::MACHINES,
        tools::LOADERS,
        tools::FAI,
        tools::NEIGHBOUR,
        NEEDS,
    ];
    if !can_run(SCENARIO, &needs, true) {
        return Ok(());
    }
    own_mounts();
    let rack = Rack::new()?;
    let mut puppet = Puppet::prepare(&rack);
    let _names = outside::names(&rack, &[NAME])?;
    let server = served(&rack, &puppet)?;
    puppet.belongs_to(&server)?;
    puppet.start(&rack)?;
    puppet.until_up()?;
    let machine = rack
        .machine("web01")
        .firmware(Firmware::Bios)
        .disk(6, "WEB01");
    declare(&server, machine.mac(), "puppet")?;

    ready(&server, &machine)?;
    failed(&server, &machine, &puppet)
}

fn served(rack: &Rack, puppet: &Puppet) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    let file = settings.site.join("farrier.toml");
    let text = fs::read_to_string(&file).map_err(RackError::file(&file))?;
    let text = text + &puppet.farrier_toml();
    fs::write(&file, text).map_err(RackError::file(&file))?;
    outside::mirrored(rack, &settings)?;
    let profile = settings.site.join("profiles/puppet");
    let steps = profile.join("steps");
    fs::create_dir_all(&steps).map_err(RackError::file(&steps))?;
    for (name, text) in [
        ("profile.toml", PROFILE.to_string() + &handoff()),
        ("puppet-ca.pem", puppet.authority()),
        ("steps/60-look.sh", LOOK.to_string()),
    ] {
        let path = profile.join(name);
        fs::write(&path, text).map_err(RackError::file(&path))?;
    }
    site::fetched(&settings, &["fai-6"])?;
    Server::start(rack, settings)
}

/// From a blank disk. What the manifest declares is on the machine, which says so itself.
fn ready(server: &Server, machine: &Machine) -> Result<(), RackError> {
    server.must(&["rebuild", "web01", "--yes"])?;
    ends(server, machine, "the first build", Phase::Ready)?;
    succeeded(server)?;
    in_order(server, "web01", 1, STORY);
    let logs = server.must(&["logs", "web01"])?;
    for said in [
        format!("MOTD=the motd of {CERTNAME}, {CERTNAME}="),
        "SERVICE=disabled inactive=".to_string(),
    ] {
        assert!(logs.contains(&said), "no `{said}`: {logs}");
        eprintln!("{SCENARIO}: {said}");
    }
    Ok(())
}

/// The manifest is broken and the machine is built again: its old certificate is no longer good before it
/// may start, and what it gets is another.
fn failed(server: &Server, machine: &Machine, puppet: &Puppet) -> Result<(), RackError> {
    let before = puppet.serial();
    puppet.manifest(BROKEN);
    server.must(&["rebuild", "web01", "--yes"])?;
    puppet.taken_back(server, 2, &before)?;
    ends(server, machine, "rebuilt", Phase::Failed)?;
    names_what_failed(server)?;
    in_order(server, "web01", 2, &["identity-revoked", "boot-began"]);
    in_order(server, "web01", 2, STORY);
    assert_ne!(puppet.serial(), before, "another certificate");
    eprintln!("{SCENARIO}: {}", server.must(&["why", "web01"])?);
    Ok(())
}

/// Switches the flagged machine on until its build is over, which must be so.
fn ends(server: &Server, machine: &Machine, what: &str, phase: Phase) -> Result<(), RackError> {
    let began = Instant::now();
    let (mut power, _) = to_its_end(server, machine, |_| {})?;
    tells(SCENARIO, what, server, "web01", began);
    let evidence = || server.evidence("web01", Some(&power));
    assert_eq!(server.phase("web01")?, phase, "{}", evidence());
    power.cut();
    Ok(())
}
