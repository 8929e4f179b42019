//! What machines log.

use super::*;

#[tokio::test]
async fn a_log_is_kept_with_its_build_and_without_tokens() {
    let bench = Bench::new();
    let control = bench.open().await;
    let key = crate::model::BuildKey {
        system: web01(),
        epoch: 1,
    };
    control.hear(mac(), "before a build");
    bench.flag(&control).await.expect("flagged");
    control.hear(mac(), "before a boot");
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    let token = control.key().token(&key, Scope::Read);
    control.hear(
        mac(),
        &format!("url=http://10.77.0.1/b/{}/preseed.cfg", token.reveal()),
    );
    control.hear(
        mac(),
        "main-menu[254]: INFO: Menu item 'partman-base' selected",
    );
    control
        .keep_log(&key, "report", "one\n\ntwo\n")
        .await
        .expect("durable");
    let page = loop {
        let page = control
            .logs("web01", &Default::default())
            .await
            .expect("a log");
        if page.lines.len() == 4 {
            break page;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let mut texts: Vec<&str> = page.lines.iter().map(|l| l.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts[2..], ["two", "url=http://10.77.0.1/b/../preseed.cfg"]);
    let shown = control.list(&Default::default()).expect("a list");
    let step = shown[0].build.as_ref().and_then(|b| b.step());
    assert_eq!(step.as_deref(), Some("[partition]"));
    assert_eq!(phase(&control), Phase::Booting, "a line moves nothing");
    let later = crate::model::logs::LogQuery {
        build: Some(2),
        ..Default::default()
    };
    assert!(control.logs("web01", &later).await.is_err());
}
