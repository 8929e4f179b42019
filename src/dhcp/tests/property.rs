//! Whatever clients do, in whatever order: no two hold one address, and nothing panics.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;

use super::super::testing::*;
use crate::model::{LeaseState, MacAddr, Timestamp, UnknownAction};

#[derive(Debug, Clone)]
enum Step {
    Discover(u8, Option<u8>),
    Take(u8),
    Request(u8, u8, bool),
    Renew(u8, u8),
    Release(u8, u8),
    Decline(u8, u8),
    InUse(u8),
    Uncommitted(u8),
    Restart,
    Reserve(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (mac, ip) = (0..8_u8, 98..106_u8);
    prop_oneof![
        4 => (mac.clone(), proptest::option::of(ip.clone())).prop_map(|(m, i)| Step::Discover(m, i)),
        6 => mac.clone().prop_map(Step::Take),
        2 => (mac.clone(), ip.clone(), any::<bool>()).prop_map(|(m, i, s)| Step::Request(m, i, s)),
        2 => (mac.clone(), ip.clone()).prop_map(|(m, i)| Step::Renew(m, i)),
        1 => (mac.clone(), ip.clone()).prop_map(|(m, i)| Step::Release(m, i)),
        1 => (mac.clone(), ip.clone()).prop_map(|(m, i)| Step::Decline(m, i)),
        1 => mac.clone().prop_map(Step::InUse),
        1 => mac.prop_map(Step::Uncommitted),
        1 => Just(Step::Restart),
        1 => ip.prop_map(Step::Reserve),
        2 => prop_oneof![Just(1), Just(61), Just(1800), Just(3601)].prop_map(Step::Wait),
    ]
}

/// What the clients believe: address, holder, until when.
type Held = HashMap<Ipv4Addr, (MacAddr, Timestamp)>;

fn run(steps: &[Step]) {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let mut held: Held = HashMap::new();
    let mut offers: HashMap<u8, Ipv4Addr> = HashMap::new();
    let mut stored = HashMap::new();
    let mac = |n: u8| format!("52:54:00:00:03:{n:02x}");
    let address = |n: u8| [10, 77, 0, n];
    for (number, step) in steps.iter().enumerate() {
        let commits = !matches!(step, Step::Uncommitted(_));
        rig.source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        let bytes = match step {
            Step::Discover(m, Some(ip)) => discover(&mac(*m), &[(50, &address(*ip))]),
            Step::Discover(m, None) => discover(&mac(*m), &[]),
            Step::Take(m) | Step::Uncommitted(m) => {
                let Some(ip) = offers.get(m) else { continue };
                packet(3, &mac(*m), &[(54, &SERVER), (50, &ip.octets())])
            }
            Step::Request(m, ip, true) => {
                packet(3, &mac(*m), &[(54, &SERVER), (50, &address(*ip))])
            }
            Step::Request(m, ip, false) => packet(3, &mac(*m), &[(50, &address(*ip))]),
            Step::Renew(m, ip) => with(packet(3, &mac(*m), &[]), 12, address(*ip)),
            Step::Release(m, ip) => {
                rig.source = SocketAddrV4::new(address(*ip).into(), 68);
                with(packet(7, &mac(*m), &[]), 12, address(*ip))
            }
            Step::Decline(m, ip) => packet(4, &mac(*m), &[(50, &address(*ip))]),
            Step::InUse(m) => {
                if let Some(ip) = rig.send_once(&discover(&mac(*m), &[])).check
                    && let Some(lease) = rig.table.checked(ip, true, rig.now)
                {
                    // it was somebody's, and is for longer
                    if lease.state == LeaseState::Bound {
                        held.insert(lease.ip, (lease.mac, lease.expires));
                    }
                    stored.insert(lease.ip, lease);
                }
                continue;
            }
            Step::Restart => {
                rig.table = super::super::LeaseTable::load(stored.values().cloned());
                continue;
            }
            Step::Reserve(ip) => {
                // an owner may reserve what nobody holds now
                let ip = address(*ip);
                if held
                    .get(&ip.into())
                    .is_none_or(|(_, until)| *until <= rig.now)
                {
                    rig.add(
                        &format!("r{number}"),
                        &format!("52:54:00:00:04:{:02x}", number % 256),
                        Some(ip),
                    );
                }
                continue;
            }
            Step::Wait(seconds) => {
                rig.wait(*seconds);
                continue;
            }
        };
        let seen = rig.send(&bytes);
        let client: MacAddr = super::super::parse(&bytes).expect("a request").mac;
        match seen.word {
            "offer" => {
                let ip = seen.ip();
                if let Some((holder, until)) = held.get(&ip) {
                    assert!(*holder == client || *until <= rig.now, "{ip} offered twice");
                }
                offers.insert(client.0[5], ip);
            }
            "commit" => {
                let lease = seen.lease.clone().expect("a lease");
                if !commits {
                    // a failed commit: the client hears nothing, and keeps what it has
                    let granted = seen.granted.expect("granted");
                    rig.table.uncommitted(&granted, rig.now);
                    let keeps = held.get(&lease.ip).filter(|(_, until)| *until > rig.now);
                    assert_eq!(
                        rig.table.holder(lease.ip, rig.now),
                        keeps.map(|(holder, _)| *holder)
                    );
                    continue;
                }
                assert_eq!(seen.ip(), lease.ip);
                assert!(!rig.site.by_ip.contains_key(&lease.ip));
                assert!((100..=103).contains(&lease.ip.octets()[3]));
                if let Some((holder, until)) = held.get(&lease.ip) {
                    assert!(
                        *holder == client || *until <= rig.now,
                        "{} has two holders",
                        lease.ip
                    );
                }
                assert_eq!(rig.table.holder(lease.ip, rig.now), Some(client));
                held.insert(lease.ip, (client, lease.expires));
                stored.insert(lease.ip, lease);
            }
            "record" => {
                let lease = seen.lease.expect("a lease");
                match lease.state {
                    LeaseState::Bound => held.insert(lease.ip, (lease.mac, lease.expires)),
                    LeaseState::Released | LeaseState::Declined => held.remove(&lease.ip),
                };
                stored.insert(lease.ip, lease);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_two_clients_hold_one_address(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700), broken in any::<bool>()) {
        let mut packet = discover(DB01, &[]);
        packet.truncate(243);
        packet.extend_from_slice(&bytes);
        if broken {
            packet = bytes;
        }
        if let Ok(request) = super::super::parse(&packet) {
            drop(request);
            let mut rig = Rig::new();
            rig.flagged = Some(crate::model::LoaderKind::Ipxe);
            rig.site.unknown = UnknownAction::Local;
            rig.send(&packet);
        }
    }
}
