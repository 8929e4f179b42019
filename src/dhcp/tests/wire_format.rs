//! The bytes of a reply.

use super::super::testing::*;
use crate::model::LoaderKind;

#[test]
fn fifty_three_first_end_then_zeros_to_three_hundred() {
    let mut rig = Rig::new();
    rig.site.subnets[0].domain = None;
    let seen = rig.send(&discover(WEB01, &[]));
    assert_eq!(seen.bytes.len(), 300);
    assert_eq!(&seen.bytes[240..243], &[53, 1, 2]);
    let mut at = 240;
    while seen.bytes[at] != 255 {
        assert_ne!(seen.bytes[at], 0, "no padding before END");
        at += 2 + usize::from(seen.bytes[at + 1]);
    }
    assert!(seen.bytes[at + 1..].iter().all(|b| *b == 0));
    assert_eq!(&seen.bytes[4..8], &0x1234_5678_u32.to_be_bytes());
    assert_eq!(&seen.bytes[28..34], &[0x52, 0x54, 0, 0, 0, 1]);
}

#[test]
fn the_client_says_how_much_it_takes() {
    let mut rig = Rig::new();
    rig.flagged = Some(LoaderKind::Ipxe);
    rig.site.subnets[0].ntp = vec![SERVER.into(); 60];
    let id = [7_u8; 200];
    let mut options = UEFI.to_vec();
    options.push((61, &id));
    let check = |rig: &mut Rig, size: Option<u16>, most: usize, ntp: bool| {
        let bytes = size.map(u16::to_be_bytes);
        let mut options = options.clone();
        if let Some(bytes) = &bytes {
            options.push((57, bytes));
        }
        let seen = rig.send(&discover(WEB01, &options));
        assert!(seen.bytes.len() <= most, "{size:?}: {}", seen.bytes.len());
        assert_eq!(seen.option(42).is_some(), ntp, "{size:?}");
        assert!(seen.option(67).is_some() && seen.option(51).is_some());
        assert!(seen.bytes.contains(&255));
    };
    check(&mut rig, None, 548, false);
    check(&mut rig, Some(100), 548, false);
    check(&mut rig, Some(1472), 1444, true);
    check(&mut rig, Some(65535), 1472, true);
}

#[test]
fn a_long_url_stays_out_of_the_file_field() {
    use super::super::boot::Boot;
    use super::super::reply::{Parts, compose};
    let mut options = IPXE.to_vec();
    options.push((57, &[5, 192]));
    let bytes = discover(WEB01, &options);
    let request = super::super::parse(&bytes).expect("a request");
    let url = format!("http://10.77.0.1/{}", "x".repeat(300));
    let reply = compose(
        &request,
        Parts {
            kind: dhcproto::v4::MessageType::Offer,
            server: SERVER.into(),
            address: None,
            subnet: None,
            lease: None,
            name: None,
            boot: Some(Boot {
                file: Some(url.clone().into()),
                tftp: None,
                class: None,
                vendor_options: None,
                terminate_names: true,
                chained: false,
                answers: None,
            }),
            proxy: false,
        },
    );
    let mut out = Vec::new();
    super::super::encode(&reply, &mut out);
    assert!(out[108..236].iter().all(|b| *b == 0));
    let text: Vec<u8> = super::super::wire::suboptions(&out[240..])
        .filter(|(code, _)| *code == 67)
        .flat_map(|(_, v)| v.to_vec())
        .collect();
    assert_eq!(text, [url.as_bytes(), b"\0"].concat());
}
