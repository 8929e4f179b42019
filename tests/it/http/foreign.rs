//! Where another server hands out the addresses: a build belongs to the address that its boot script
//! first went to, or to the one that is declared.

use super::*;

#[tokio::test]
async fn a_build_is_bound_to_the_address_its_script_went_to() {
    let door = open_on(Limits::default(), Standin::proxy).await;
    let key = door.flag(9);
    let path = format!("/ipxe/{}", mac(9).dashed());
    let (machine, thief) = (ip(70), ip(71));
    assert_eq!(door.get(machine, &path).await.status, 200);
    assert_eq!(door.waist.told(), ["address-bound", "script-served"]);
    let read = door.waist.token(&key, Scope::Read);
    let report = door.waist.token(&key, Scope::Report);
    for (path, body) in [
        (path.clone(), None),
        (format!("/grub/grub.cfg-01-{}", mac(9).dashed()), None),
        (format!("/b/{read}/preseed.cfg"), None),
        (format!("/r/{report}/start"), Some("")),
        (format!("/r/{report}/end"), Some("")),
    ] {
        let got = match body {
            None => door.get(thief, &path).await,
            Some(body) => door.post(thief, &path, body).await,
        };
        assert_eq!(got.status, 404, "{path}");
    }
    assert_eq!(door.waist.phase(9), Phase::Booting);
    let misused = EventKind::TokenMisused { from: thief };
    assert_eq!(
        door.waist.noted(),
        [misused.clone(), misused.clone(), misused],
        "that its tokens were used is noted, and nothing else of the other"
    );
    assert_eq!(door.get(machine, &path).await.status, 200, "its own again");
    let answer = door.get(machine, &format!("/b/{read}/preseed.cfg")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_foreign_look_does_not_hold_a_build_that_writes() {
    let door = open_on(Limits::default(), Standin::proxy).await;
    let key = door.flag(9);
    let path = format!("/ipxe/{}", mac(9).dashed());
    let report = door.waist.token(&key, Scope::Report);
    door.get(ip(70), &path).await;
    let disks = "path=/dev/vda size=8589934592 contents=blank\n";
    let got = door
        .post(ip(70), &format!("/r/{report}/disks"), disks)
        .await;
    assert_eq!((got.status, door.waist.phase(9)), (200, Phase::Installing));
    assert_eq!(door.get(ip(71), &path).await.status, 404);
    assert_eq!(door.waist.noted(), []);
}

#[tokio::test]
async fn a_declared_address_is_required() {
    let door = open_on(Limits::default(), Standin::proxy).await;
    door.flag(1);
    let path = format!("/ipxe/{}", mac(1).dashed());
    for thief in [ip(70), ip(2)] {
        assert_eq!(door.get(thief, &path).await.status, 404, "{thief}");
    }
    assert_eq!(door.waist.phase(1), Phase::Armed);
    assert_eq!(door.get(ip(1), &path).await.status, 200);
    assert_eq!(door.waist.told(), ["script-served"], "nothing to bind");
}

#[tokio::test]
async fn an_installed_system_with_another_address_takes_its_hand_off_once() {
    let door = open_on(Limits::default(), Standin::proxy).await;
    let key = door.flag(9);
    let report = door.waist.token(&key, Scope::Report);
    let secret = door.waist.token(&key, Scope::Secret);
    door.get(ip(70), &format!("/ipxe/{}", mac(9).dashed()))
        .await;
    door.post(ip(70), &format!("/r/{report}/start"), "").await;
    door.post(ip(70), &format!("/r/{report}/end"), "").await;
    let bundle = format!("/h/{secret}/bundle");
    let mine = door
        .send_from(ip(75), &bundle, "key=0123456789abcdef")
        .await;
    assert_eq!(mine.status, 200);
    let late = door
        .send_from(ip(76), &bundle, "key=0123456789abcdef")
        .await;
    assert_eq!(late.status, 404, "it is bound to whoever took it");
    assert_eq!(
        door.send_from(ip(2), &bundle, "key=0123456789abcdef")
            .await
            .status,
        404
    );
    let result = "agent=steps code=0 class=ok seconds=1\n";
    let done = door
        .send_from(ip(75), &format!("/h/{secret}/result"), result)
        .await;
    assert_eq!((done.status, door.waist.phase(9)), (200, Phase::Ready));
}

#[tokio::test]
async fn the_hand_off_is_open_once_the_installer_asked_for_it() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    let report = door.waist.token(&key, Scope::Report);
    let secret = door.waist.token(&key, Scope::Secret);
    let bundle = format!("/h/{secret}/bundle");
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    door.post(ip(1), &format!("/r/{report}/start"), "").await;
    let early = door.send_from(ip(1), &bundle, "key=0123456789abcdef").await;
    assert_eq!(early.status, 404, "nobody asked for it yet");
    let path = format!("/r/{report}/handoff");
    assert_eq!(door.post(ip(1), &path, "").await.status, 403);
    let refused = door.send_from(ip(1), &bundle, "key=0123456789abcdef").await;
    assert_eq!(refused.status, 404, "who asks in the open is told nothing");
    let asked = door.send_from(ip(1), &path, "").await;
    assert!(
        asked.text().trim().ends_with(&format!("/h/{secret}")),
        "{}",
        asked.text()
    );
    let taken = door.send_from(ip(1), &bundle, "key=0123456789abcdef").await;
    assert_eq!(
        (taken.status, door.waist.phase(1)),
        (200, Phase::Configuring)
    );
}
