//! Doors on the loopback: no root, no fixed port.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use super::doors::Doors;
use super::{Chosen, choose};
use crate::cli::Place;
use crate::control::{Control, Options};
use crate::model::Timestamp;

/// A port that nobody has now, for UDP or TCP.
fn free() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let at = socket.local_addr().expect("its address");
        if TcpListener::bind(at).is_ok() {
            return at.port();
        }
    }
}

/// A site with these ports.
fn write(place: &Place, http: u16, https: u16, tftp: u16) {
    std::fs::create_dir_all(&place.site).expect("a directory");
    let text = format!(
        "[server]\ninterfaces = [\"lo\"]\nhttp_port = {http}\nhttps_port = {https}\ntftp_port = {tftp}\n[dhcp]\nmode = \"off\"\n[[subnet]]\nnetwork = \"127.0.0.0/8\"\n"
    );
    std::fs::write(place.site.join("farrier.toml"), text).expect("written");
    std::fs::write(place.site.join("systems.toml"), "").expect("written");
}

async fn follow(doors: &mut Doors, control: &Control) -> Vec<String> {
    let chosen = choose(&control.site()).expect("interfaces");
    let refused = doors.follow(&chosen).await;
    // the port of syslog is fixed, and another test may have it
    let needed = refused.into_iter().filter(|r| r.door.needed());
    needed
        .map(|r| format!("{}: {}", r.why.message, r.why.help.unwrap_or_default()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_and_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place {
        site: dir.path().join("site"),
        state: dir.path().join("state"),
    };
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let (http, https) = (free(), free());
    write(&place, http, https, port);
    let control = Control::open(Options {
        site: place.site.clone(),
        state: place.state.clone(),
        clock: Arc::new(Timestamp::now),
    })
    .await
    .expect("the waist");
    control.load().await.expect("a sound site");
    let mut doors = Doors::new(&control, &place).expect("the control socket");
    let open = |start: &str| {
        let open = control.tally().doors();
        open.iter().filter(|d| d.starts_with(start)).count()
    };

    let refused = follow(&mut doors, &control).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    let expected = format!("TFTP cannot be served on 127.0.0.1:{port}: ");
    assert!(refused[0].starts_with(&expected), "{refused:?}");
    assert!(
        refused[0].contains("another program has that port"),
        "{refused:?}"
    );
    assert_eq!(
        (open(&format!("http 127.0.0.1:{http}")), open("tftp")),
        (1, 0)
    );
    assert!(
        control.places().addresses.is_empty(),
        "an address without TFTP is not advertised"
    );

    drop(taken);
    assert_eq!(follow(&mut doors, &control).await, Vec::<String>::new());
    assert_eq!(open(&format!("tftp 127.0.0.1:{port}")), 1);
    let places = control.places();
    assert_eq!(places.addresses.len(), 1);
    assert_eq!(places.http_port, http);
    // nothing changed: nothing is opened twice, no port moves
    assert_eq!(follow(&mut doors, &control).await, Vec::<String>::new());
    assert_eq!(*control.places(), *places);
    let doors_open = || {
        let open = control.tally().doors();
        open.iter().filter(|d| !d.starts_with("syslog")).count()
    };
    assert_eq!(doors_open(), 4);

    // another port in the files
    let other = free();
    write(&place, http, https, other);
    control.reload("test").await.expect("a sound site");
    assert_eq!(follow(&mut doors, &control).await, Vec::<String>::new());
    assert_eq!(open(&format!("tftp 127.0.0.1:{port}")), 0);
    assert_eq!(open(&format!("tftp 127.0.0.1:{other}")), 1);
    UdpSocket::bind(("127.0.0.1", port)).expect("the old port is free again");

    // two doors change places
    write(&place, https, http, other);
    control.reload("test").await.expect("a sound site");
    assert_eq!(follow(&mut doors, &control).await, Vec::<String>::new());
    for door in [
        format!("http 127.0.0.1:{https}"),
        format!("https 127.0.0.1:{http}"),
    ] {
        assert_eq!(open(&door), 1, "{:?}", control.tally().doors());
    }
    let places = control.places();
    assert_eq!((places.http_port, places.https_port), (https, http));

    // the interface is gone
    assert!(doors.follow(&Chosen::default()).await.is_empty());
    assert_eq!(control.tally().doors().len(), 1, "the control socket");
    assert!(control.places().addresses.is_empty());
    doors.close().await;
}
