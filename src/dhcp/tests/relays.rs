//! Requests that come through a relay.

use std::net::Ipv4Addr;

use super::super::testing::*;
use super::super::{Destination, Silence};

fn rig() -> Rig {
    let mut rig = Rig::new();
    let far = subnet("10.78.0.0/24", Some(([10, 78, 0, 100], [10, 78, 0, 199])));
    rig.site.subnets.push(far);
    rig.add("far01", "52:54:00:00:07:01", Some([10, 78, 0, 11]));
    rig
}

const FAR: &str = "52:54:00:00:07:01";

#[test]
fn giaddr_says_where_and_how() {
    let mut rig = rig();
    let offer = rig.send(&with(discover(FAR, &[]), 24, [10, 78, 0, 1]));
    assert_eq!(offer.ip(), Ipv4Addr::new(10, 78, 0, 11));
    let to = "10.78.0.1:67".parse().expect("an address");
    assert_eq!(offer.to, Some(Destination::Address(to)));
    assert_eq!(offer.option(54), Some(&SERVER[..]));
    assert_eq!(
        offer.reply.as_ref().expect("a reply").giaddr(),
        Ipv4Addr::new(10, 78, 0, 1)
    );
    // a machine away from its reservation gets an address of the place where it is
    let away = rig.send(&with(discover(WEB01, &[]), 24, [10, 78, 0, 1]));
    assert_eq!(away.ip(), Ipv4Addr::new(10, 78, 0, 100));
    let nowhere = rig.send(&with(discover(FAR, &[]), 24, [10, 79, 0, 1]));
    assert_eq!(nowhere.silence, Some(Silence::NoSubnet));
    let nowhere = rig.send(&with(packet(3, FAR, &[(54, &SERVER)]), 24, [10, 79, 0, 1]));
    assert_eq!(nowhere.silence, Some(Silence::NoSubnet));
}

#[test]
fn a_refusal_goes_through_the_relay_as_a_broadcast() {
    let mut rig = rig();
    let bytes = with(
        packet(3, FAR, &[(54, &SERVER), (50, &[10, 78, 0, 50])]),
        24,
        [10, 78, 0, 1],
    );
    let nak = rig.send(&bytes);
    assert_eq!(nak.word, "nak");
    let to = "10.78.0.1:67".parse().expect("an address");
    assert_eq!(nak.to, Some(Destination::Address(to)));
    assert_eq!(nak.bytes[10] & 0x80, 0x80);
}

#[test]
fn option_82_comes_back_verbatim_and_last() {
    let mut rig = rig();
    // out of order, repeated, with a broken tail: not ours to repair
    let agent: &[u8] = &[2, 1, 9, 1, 2, 7, 7, 1, 1, 7, 200, 99];
    let bytes = with(
        discover(FAR, &[(82, agent), (61, b"\x01abc")]),
        24,
        [10, 78, 0, 1],
    );
    let offer = rig.send(&bytes);
    assert_eq!(offer.option(82), Some(agent));
    let order: Vec<u8> = super::super::wire::suboptions(&offer.bytes[240..])
        .map(|(c, _)| c)
        .collect();
    assert_eq!((order.first(), order.last()), (Some(&53), Some(&82)));
    // longer than one option can be
    let long: Vec<u8> = (0..=255).chain(0..100).map(|n: u16| n as u8).collect();
    let (one, two) = long.split_at(255);
    let offer = rig.send(&with(
        discover(FAR, &[(82, one), (82, two)]),
        24,
        [10, 78, 0, 1],
    ));
    let mut back = Vec::new();
    for (code, value) in super::super::wire::suboptions(&offer.bytes[240..]) {
        if code == 82 {
            back.extend_from_slice(value);
        }
    }
    assert_eq!(back, long);
}

#[test]
fn link_selection_and_server_override() {
    let mut rig = rig();
    let agent: &[u8] = &[5, 4, 10, 78, 0, 0, 11, 4, 10, 78, 0, 1];
    let relay = [192, 168, 100, 1];
    let offer = rig.send(&with(discover(FAR, &[(82, agent)]), 24, relay));
    assert_eq!(offer.ip(), Ipv4Addr::new(10, 78, 0, 11));
    assert_eq!(offer.option(54), Some(&[10, 78, 0, 1][..]));
    let reply = offer.reply.as_ref().expect("a reply");
    assert_eq!(
        reply.siaddr(),
        Ipv4Addr::from(SERVER),
        "boots from the real one"
    );
    assert_eq!(
        offer.to,
        Some(Destination::Address(
            "192.168.100.1:67".parse().expect("an address")
        ))
    );
    // the client now thinks that the relay is its server
    let select = packet(
        3,
        FAR,
        &[(54, &[10, 78, 0, 1]), (50, &[10, 78, 0, 11]), (82, agent)],
    );
    assert_eq!(rig.send(&with(select, 24, relay)).word, "ack");
    // option 118 does the same as link selection
    let offer = rig.send(&with(discover(FAR, &[(118, &[10, 78, 0, 0])]), 24, relay));
    assert_eq!(offer.ip(), Ipv4Addr::new(10, 78, 0, 11));
    // but not for a client on this wire
    let offer = rig.send(&discover(WEB01, &[(118, &[10, 78, 0, 0])]));
    assert_eq!(offer.ip(), Ipv4Addr::new(10, 77, 0, 11));
}

#[test]
fn a_renewal_comes_straight_from_a_far_network() {
    let mut rig = rig();
    let ack = rig.send(&with(packet(3, FAR, &[]), 12, [10, 78, 0, 11]));
    assert_eq!((ack.word, ack.ip()), ("ack", Ipv4Addr::new(10, 78, 0, 11)));
    assert_eq!(
        ack.to,
        Some(Destination::Address(
            "10.78.0.11:68".parse().expect("an address")
        ))
    );
}

#[test]
fn a_declared_server_address_is_announced() {
    let mut rig = rig();
    rig.site.subnets[1].server = Some([10, 99, 0, 1].into());
    let offer = rig.send(&with(discover(FAR, &[]), 24, [10, 78, 0, 1]));
    assert_eq!(offer.option(54), Some(&[10, 99, 0, 1][..]));
    let select = packet(3, FAR, &[(54, &[10, 99, 0, 1]), (50, &[10, 78, 0, 11])]);
    assert_eq!(rig.send(&with(select, 24, [10, 78, 0, 1])).word, "ack");
}
