//! Who gets which address, and who is refused.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::allocate::Refusal;
use super::super::testing::*;
use super::super::{Destination, LeaseTable, Silence};
use crate::model::{Digest, Lease, LeaseState, MacAddr, Timestamp, UnknownAction};

#[test]
fn a_reservation_needs_no_commit_and_no_decision() {
    let mut rig = Rig::new();
    let offer = rig.send(&discover(WEB01, &[]));
    assert_eq!((offer.word, offer.ip()), ("offer", [10, 77, 0, 11].into()));
    let ack = rig.send(&packet(3, WEB01, &[(54, &SERVER), (50, &[10, 77, 0, 11])]));
    assert_eq!((ack.word, ack.ip()), ("ack", [10, 77, 0, 11].into()));
    assert_eq!(rig.asked.get(), 0);
    assert_eq!(ack.option(51), Some(&3600_u32.to_be_bytes()[..]));
    assert_eq!(ack.option(58), Some(&1800_u32.to_be_bytes()[..]));
    assert_eq!(ack.option(59), Some(&3150_u32.to_be_bytes()[..]));
    assert_eq!(ack.option(1), Some(&[255, 255, 255, 0][..]));
    assert_eq!(ack.option(3), Some(&SERVER[..]));
    assert_eq!(
        ack.option(6),
        Some(&SERVER[..]),
        "never without a name server"
    );
    assert_eq!(ack.option(28), Some(&[10, 77, 0, 255][..]));
    assert_eq!(
        (ack.text(12), ack.text(15)),
        (Some("web01"), Some("lab.example"))
    );
    for boot in [60, 66, 67, 43, 150, 175, 97] {
        assert_eq!(ack.option(boot), None, "option {boot}");
    }
    let reserved = rig.table.reserved([10, 77, 0, 11].into()).expect("known");
    assert_eq!(
        reserved.expires,
        super::super::allocate::later(rig.now, std::time::Duration::from_secs(3600))
    );
}

#[test]
fn an_unknown_machine_is_answered_only_if_told_so() {
    let mut rig = Rig::new();
    let seen = rig.send(&discover(STRANGER, UEFI));
    assert_eq!(seen.silence, Some(Silence::Unknown));
    let seen = rig.send(&packet(
        3,
        STRANGER,
        &[(54, &SERVER), (50, &[10, 77, 0, 100])],
    ));
    assert_eq!(seen.silence, Some(Silence::Unknown));
    for action in [UnknownAction::Local, UnknownAction::Discover] {
        rig.site.unknown = action;
        let seen = rig.send(&discover(STRANGER, UEFI));
        assert_eq!((seen.word, seen.ip()), ("offer", [10, 77, 0, 100].into()));
        assert_eq!(seen.option(67), None);
    }
}

#[test]
fn a_pool_address_is_checked_held_committed_and_sticky() {
    let mut rig = Rig::new();
    let first = rig.send_once(&discover(DB01, &[]));
    assert_eq!(first.check, Some([10, 77, 0, 100].into()));
    // again while it is being checked: not a second check
    assert_eq!(
        rig.send_once(&discover(DB01, &[])).silence,
        Some(Silence::Checking)
    );
    assert_eq!(
        rig.table.checked([10, 77, 0, 100].into(), false, rig.now),
        None
    );
    for _ in 0..10 {
        let offer = rig.send_once(&discover(DB01, &[]));
        assert_eq!((offer.word, offer.ip()), ("offer", [10, 77, 0, 100].into()));
    }
    let ack = rig.send(&packet(
        3,
        DB01,
        &[(54, &SERVER), (50, &[10, 77, 0, 100]), (12, b"d\xffb-1.x")],
    ));
    let lease = ack.lease.clone().expect("a lease");
    assert_eq!((ack.word, lease.state), ("commit", LeaseState::Bound));
    assert_eq!(lease.hostname.as_deref(), Some("db-1"));
    assert_eq!(
        rig.table.holder([10, 77, 0, 100].into(), rig.now),
        Some(DB01.parse().expect("a mac"))
    );
    // long after it ended, and with no check, for it may be its own answer that comes back
    rig.wait(100_000);
    assert_eq!(rig.table.holder([10, 77, 0, 100].into(), rig.now), None);
    assert_eq!(
        rig.send_once(&discover(DB01, &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 100)
    );
}

#[test]
fn an_address_in_use_is_skipped_and_recorded() {
    let mut rig = Rig::new();
    let first = rig.send_once(&discover(DB01, &[])).check.expect("a check");
    let record = rig.table.checked(first, true, rig.now).expect("a record");
    assert_eq!(record.state, LeaseState::Declined);
    let seen = rig.send(&discover(DB01, &[]));
    assert_eq!(seen.ip(), Ipv4Addr::new(10, 77, 0, 101));
}

#[test]
fn a_pool_ends_and_recovers() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let mac = |n: u8| format!("52:54:00:00:01:{n:02x}");
    for n in 0..4 {
        let offer = rig.send(&discover(&mac(n), &[]));
        assert_eq!(offer.ip(), Ipv4Addr::new(10, 77, 0, 100 + n));
        if n < 3 {
            let ip = offer.ip().octets();
            assert_eq!(
                rig.send(&packet(3, &mac(n), &[(54, &SERVER), (50, &ip)]))
                    .word,
                "commit"
            );
        }
    }
    let seen = rig.send(&discover(&mac(9), &[]));
    assert!(
        matches!(seen.silence, Some(Silence::NoAddress(_))),
        "{seen:?}"
    );
    // the offer that was not taken comes back first
    rig.wait(61);
    assert_eq!(
        rig.send(&discover(&mac(9), &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 103)
    );
    assert_eq!(
        rig.send(&packet(
            3,
            &mac(9),
            &[(54, &SERVER), (50, &[10, 77, 0, 103])]
        ))
        .word,
        "commit"
    );
    assert_eq!(rig.send(&discover(&mac(8), &[])).word, "silent");
    // then the lease that ended first
    rig.wait(3600);
    assert_eq!(
        rig.send(&discover(&mac(8), &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 100)
    );
    // whose holder of before gets another
    assert_eq!(
        rig.send(&discover(&mac(0), &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 101)
    );
}

#[test]
fn what_is_reserved_or_ours_is_never_in_the_pool() {
    let mut rig = Rig::new();
    rig.site.subnets = vec![subnet(
        "10.77.0.0/24",
        Some(([10, 77, 0, 0], [10, 77, 0, 255])),
    )];
    rig.site.subnets[0].router = Some([10, 77, 0, 2].into());
    rig.site.unknown = UnknownAction::Local;
    let mut given = std::collections::BTreeSet::new();
    for n in 0..300_u16 {
        let [high, low] = n.to_be_bytes();
        let mac = format!("52:54:00:00:{:02x}:{low:02x}", high + 1);
        let seen = rig.send(&discover(&mac, &[]));
        if seen.word == "offer" {
            assert!(given.insert(seen.ip().octets()[3]));
        }
    }
    assert_eq!(given.len(), 254 - 3);
    for taken in [0, 1, 2, 11, 255] {
        assert!(!given.contains(&taken), "{taken}");
    }
}

#[test]
fn a_restart_between_offer_and_request_loses_nothing() {
    let mut rig = Rig::new();
    let ip = rig.send(&discover(DB01, &[])).ip();
    rig.table = super::super::LeaseTable::default();
    let ack = rig.send(&packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]));
    assert_eq!((ack.word, ack.ip()), ("commit", ip));
    // and after another one, from what was committed
    rig.table = super::super::LeaseTable::load(ack.lease);
    assert_eq!(rig.send(&discover(DB01, &[])).ip(), ip);
    let renewal = with(packet(3, DB01, &[]), 12, ip.octets());
    assert_eq!(rig.send(&renewal).word, "commit");
}

#[test]
fn only_those_who_mean_us_or_whom_we_know_are_refused() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let other = [10, 77, 0, 50];
    let check = |rig: &mut Rig, bytes: &[u8], word: &str, case: &str| {
        let seen = rig.send(bytes);
        assert_eq!(seen.word, word, "{case}: {seen:?}");
        if word == "nak" {
            assert_eq!(seen.to, Some(Destination::Broadcast), "{case}");
            assert_eq!(seen.ip(), Ipv4Addr::UNSPECIFIED);
        }
    };
    let reboot = |mac: &str, ip: [u8; 4]| packet(3, mac, &[(50, &ip)]);
    let renew = |mac: &str, ip: [u8; 4]| with(packet(3, mac, &[]), 12, ip);
    let select = |mac: &str, ip: [u8; 4]| packet(3, mac, &[(54, &SERVER), (50, &ip)]);
    let elsewhere = packet(3, WEB01, &[(54, &[10, 77, 0, 9]), (50, &[10, 77, 0, 11])]);
    check(
        &mut rig,
        &reboot(WEB01, [10, 77, 0, 11]),
        "ack",
        "remembers its reservation",
    );
    check(
        &mut rig,
        &reboot(WEB01, other),
        "nak",
        "remembers something older",
    );
    check(
        &mut rig,
        &reboot(WEB01, [192, 168, 1, 9]),
        "nak",
        "remembers another network",
    );
    check(
        &mut rig,
        &renew(WEB01, [10, 77, 0, 11]),
        "ack",
        "renews its reservation",
    );
    check(
        &mut rig,
        &select(WEB01, other),
        "nak",
        "takes what it was not offered",
    );
    check(
        &mut rig,
        &elsewhere,
        "silent",
        "takes another server's offer",
    );
    check(&mut rig, &packet(3, WEB01, &[]), "ack", "names no address");
    check(
        &mut rig,
        &reboot(DB01, [10, 77, 0, 100]),
        "silent",
        "nothing on record",
    );
    check(
        &mut rig,
        &reboot(STRANGER, [192, 168, 1, 9]),
        "silent",
        "a stranger from elsewhere",
    );
    check(
        &mut rig,
        &renew(STRANGER, other),
        "silent",
        "a stranger renews elsewhere",
    );
    check(
        &mut rig,
        &select(DB01, [10, 77, 0, 100]),
        "commit",
        "takes a free one",
    );
    check(
        &mut rig,
        &select(STRANGER, [10, 77, 0, 100]),
        "nak",
        "takes another's",
    );
    check(
        &mut rig,
        &renew(STRANGER, [10, 77, 0, 100]),
        "silent",
        "renews another's",
    );
    check(
        &mut rig,
        &reboot(DB01, [10, 77, 0, 101]),
        "nak",
        "has another on record",
    );
    check(
        &mut rig,
        &renew(STRANGER, [10, 77, 0, 102]),
        "commit",
        "a lost table recovers",
    );
    assert_eq!(
        rig.table.holder([10, 77, 0, 100].into(), rig.now),
        Some(DB01.parse().expect("a mac"))
    );
}

#[test]
fn a_new_reservation_does_not_cut_off_an_installer() {
    let mut rig = Rig::new();
    let ip = rig.send(&discover(DB01, &[])).ip();
    rig.send(&packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]));
    rig.add("db01", DB01, Some([10, 77, 0, 12]));
    rig.site.revision = Digest::of(b"another");
    let renewal = with(packet(3, DB01, &[]), 12, ip.octets());
    assert_eq!(rig.send(&renewal).word, "commit");
    assert_eq!(
        rig.send(&discover(DB01, &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 12)
    );
    // once its address is promised to someone else it has it for as long as it was told
    rig.add("web02", "52:54:00:00:00:03", Some(ip.octets()));
    rig.site.revision = Digest::of(b"a third");
    assert_eq!(rig.send(&renewal).silence, Some(Silence::Superseded));
    rig.wait(3601);
    assert_eq!(rig.send(&renewal).word, "nak");
}

#[test]
fn an_installer_past_its_lease_keeps_its_address_if_it_answers() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let mac = |n: u8| format!("52:54:00:00:02:{n:02x}");
    let known = |mac: &str| Some(mac.parse::<MacAddr>().expect("a mac"));
    let ip = |n: u8| Ipv4Addr::new(10, 77, 0, 100 + n);
    for n in 0..4 {
        assert_eq!(rig.send(&discover(&mac(n), &[])).ip(), ip(n));
        let take = packet(3, &mac(n), &[(54, &SERVER), (50, &ip(n).octets())]);
        assert_eq!(rig.send(&take).word, "commit");
    }
    rig.wait(3601);
    // the pool is full: the address that ended first is asked about, and still whose it was
    let asked = rig.send_once(&discover(STRANGER, &[]));
    assert_eq!(asked.check, Some(ip(0)));
    assert_eq!(rig.table.last_holder(ip(0)), known(&mac(0)));
    let record = rig.table.checked(ip(0), true, rig.now).expect("a record");
    assert_eq!(
        (record.state, Some(record.mac)),
        (LeaseState::Bound, known(&mac(0)))
    );
    assert_eq!(rig.table.holder(ip(0), rig.now), known(&mac(0)));
    let renewal = with(packet(3, &mac(0), &[]), 12, ip(0).octets());
    assert_eq!(rig.send(&renewal).word, "commit");
    // an offer that is not taken leaves everything as it was
    assert_eq!(rig.send(&discover(STRANGER, &[])).ip(), ip(1));
    assert_eq!(rig.table.last_holder(ip(1)), None, "offered to another");
    rig.wait(61);
    rig.send(&discover(&mac(2), &[]));
    assert_eq!(rig.table.last_holder(ip(1)), known(&mac(1)));
    assert_eq!(rig.send(&discover(&mac(1), &[])).ip(), ip(1));
    // and so does one whose taker finds by ARP what the ping did not
    rig.wait(61);
    assert_eq!(rig.send(&discover(STRANGER, &[])).ip(), ip(1));
    let decline = packet(4, STRANGER, &[(54, &SERVER), (50, &ip(1).octets())]);
    let record = rig.send(&decline).lease.expect("a record");
    assert_eq!(
        (record.state, Some(record.mac)),
        (LeaseState::Bound, known(&mac(1)))
    );
}

#[test]
fn a_valid_lease_is_renewed_whatever_older_one_there_is() {
    let mut rig = Rig::new();
    let lease = |last: u8, granted: Timestamp| Lease {
        ip: [10, 77, 0, last].into(),
        mac: DB01.parse().expect("a mac"),
        state: LeaseState::Bound,
        granted,
        expires: super::super::allocate::later(granted, Duration::from_secs(3600)),
        hostname: None,
    };
    let before = Timestamp::from_second(rig.now.as_second() - 86_400).expect("a time");
    for old in [100, 102] {
        rig.table = LeaseTable::load([lease(old, before), lease(101, rig.now)]);
        let ip = [10, 77, 0, 101];
        let offer = rig.send(&discover(DB01, &[]));
        assert_eq!((offer.word, offer.ip()), ("offer", ip.into()));
        let renewal = with(packet(3, DB01, &[]), 12, ip);
        let renewed = rig.send(&renewal);
        assert_eq!((renewed.word, renewed.ip()), ("commit", ip.into()));
        assert_eq!(rig.send(&packet(3, DB01, &[(50, &ip)])).word, "commit");
    }
}

#[test]
fn an_address_outside_the_pool_ends_with_its_lease() {
    let mut rig = Rig::new();
    let ip = rig.send(&discover(DB01, &[])).ip();
    rig.send(&packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]));
    let fewer = ([10, 77, 0, 102], [10, 77, 0, 103]);
    rig.site.subnets = vec![subnet("10.77.0.0/24", Some(fewer))];
    rig.site.revision = Digest::of(b"another");
    let renewal = with(packet(3, DB01, &[]), 12, ip.octets());
    let silence = rig.send(&renewal).silence;
    assert_eq!(silence, Some(Silence::OutOfPool));
    assert_eq!(
        rig.send(&discover(DB01, &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 102)
    );
}

#[test]
fn the_second_pool_of_a_wire_is_used_when_the_first_is_full() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let second = ([10, 78, 0, 100], [10, 78, 0, 101]);
    rig.site.subnets.push(subnet("10.78.0.0/24", Some(second)));
    let server = Ipv4Addr::new(10, 78, 0, 1);
    rig.place.own.push(server);
    let network = "10.78.0.1/24".parse().expect("a network");
    rig.place.networks.push(network);
    let mac = |n: u8| format!("52:54:00:00:02:{n:02x}");
    for n in 0..6 {
        let expected = match n {
            0..4 => Ipv4Addr::new(10, 77, 0, 100 + n),
            _ => Ipv4Addr::new(10, 78, 0, 96 + n),
        };
        let offer = rig.send(&discover(&mac(n), &[]));
        assert_eq!((offer.word, offer.ip()), ("offer", expected));
        let id = offer.option(54).expect("a server").to_vec();
        let take = packet(3, &mac(n), &[(54, &id[..]), (50, &expected.octets())]);
        assert_eq!(rig.send(&take).word, "commit");
        assert_eq!(rig.send(&discover(&mac(n), &[])).ip(), expected, "again");
        assert_eq!(id == server.octets(), n > 3);
    }
    let full = Silence::NoAddress(Refusal::Exhausted);
    assert_eq!(rig.send(&discover(&mac(6), &[])).silence, Some(full));
}

#[test]
fn what_cannot_be_committed_is_not_given() {
    let mut rig = Rig::new();
    let ip = rig.send(&discover(DB01, &[])).ip();
    let request = packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]);
    let granted = rig.send(&request).granted.expect("granted");
    rig.table.uncommitted(&granted, rig.now);
    assert_eq!(rig.table.holder(ip, rig.now), None);
    assert_eq!(rig.table.leases().count(), 0);
    // it is still this client's offer, and the next try succeeds
    let again = rig.send(&request);
    assert_eq!((again.word, again.ip()), ("commit", ip));
}

#[test]
fn a_renewal_that_cannot_be_committed_leaves_the_lease_that_is() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let ip = rig.send(&discover(DB01, &[])).ip();
    let first = rig.send(&packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]));
    let first = first.lease.expect("a lease");
    let renewal = with(packet(3, DB01, &[]), 12, ip.octets());
    let db01 = Some(DB01.parse().expect("a mac"));
    // asked twice before the store says no to both, in order
    rig.wait(1800);
    let one = rig.send(&renewal).granted.expect("granted");
    rig.wait(1);
    let two = rig.send(&renewal).granted.expect("granted");
    rig.table.uncommitted(&one, rig.now);
    assert_eq!(rig.table.holder(ip, rig.now), db01);
    rig.table.uncommitted(&two, rig.now);
    assert_eq!(rig.table.leases().collect::<Vec<_>>(), [&first]);
    assert_eq!(rig.table.holder(ip, rig.now), db01);
    // nobody else gets it, however empty the pool is
    for n in 0..6 {
        let seen = rig.send(&discover(&format!("52:54:00:00:02:{n:02x}"), &[]));
        assert_ne!(seen.ip(), ip);
    }
    // the store is back
    assert_eq!(rig.send(&renewal).word, "commit");
    assert_eq!(rig.table.holder(ip, rig.now), db01);
}

#[test]
fn a_known_address_that_is_offered_again_waits_for_its_client() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let mac = |n: u8| format!("52:54:00:00:02:{n:02x}");
    let mut given = Vec::new();
    for n in 0..4 {
        let ip = rig.send(&discover(&mac(n), &[])).ip();
        let take = packet(3, &mac(n), &[(54, &SERVER), (50, &ip.octets())]);
        assert_eq!(rig.send(&take).word, "commit");
        given.push(ip);
        rig.wait(1);
    }
    rig.wait(7200);
    // its lease ended first, so that a stranger would get it
    assert_eq!(rig.send(&discover(&mac(0), &[])).ip(), given[0]);
    assert_eq!(rig.send(&discover(STRANGER, &[])).ip(), given[1]);
    let take = packet(3, &mac(0), &[(54, &SERVER), (50, &given[0].octets())]);
    assert_eq!(rig.send(&take).word, "commit");
}

#[test]
fn inform_gets_the_rest_and_is_never_refused() {
    let mut rig = Rig::new();
    let seen = rig.send(&with(packet(8, WEB01, &[]), 12, [10, 77, 0, 50]));
    assert_eq!((seen.word, seen.ip()), ("ack", Ipv4Addr::UNSPECIFIED));
    assert_eq!(seen.option(51), None);
    assert!(seen.option(6).is_some());
    let to = "10.77.0.50:68".parse().expect("an address");
    assert_eq!(seen.to, Some(Destination::Address(to)));
    let seen = rig.send(&with(packet(8, WEB01, &[]), 12, [192, 168, 3, 4]));
    assert_eq!(seen.silence, Some(Silence::NoSubnet));
    let seen = rig.send(&with(packet(8, STRANGER, &[]), 12, [10, 77, 0, 50]));
    assert_eq!(seen.silence, Some(Silence::Unknown));
}
