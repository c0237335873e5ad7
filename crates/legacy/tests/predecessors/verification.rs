//! Compares the verification of certificates by dreg and yodle's client with [`RootCertificates`]
//! and [`Verification`].

use super::*;

use longshore::Verification;

#[tokio::test(flavor = "multi_thread")]
async fn dreg_yodle_and_longshore_check_the_certificate() {
    let place = Place::over_tls(|registry, _| registry).await;
    let mut python = Predecessor::start(&[]);
    std::fs::write(python.home().join("ca.pem"), place.certificate()).unwrap();
    python.run("import docker_registry_client as yodle, dreg_client");
    python.run("from requests_toolbelt.sessions import BaseUrlSession");
    python.run(&format!("host = 'https://{}'", place.address));
    python.run(
        "def dreg(verify):\n    \
             session = BaseUrlSession(f'{host}/v2/')\n    \
             session.verify = verify\n    \
             return dreg_client.Client(session).get_repository_tags('team/app')['tags']",
    );
    python.run(
        "def yodle_(verify):\n    \
             client = yodle.DockerRegistryClient(host, verify_ssl=verify)\n    \
             return client.repository('team/app').tags()",
    );

    let mut unknown = RegistrySettings::default();
    unknown.scheme = Some(Scheme::Https);
    let mut skipped = unknown.clone();
    skipped.verification = Some(Verification::Skip);
    for (verify, settings, trusted) in [
        ("True", unknown, false),
        ("False", skipped, true),
        ("'ca.pem'", trusting(place.certificate()), true),
    ] {
        let ours = quick().default_settings(settings).build();
        let ours = ours.repository(place.at("team/app").repository()).tags(None).all().await;
        for client in ["dreg", "yodle_"] {
            let call = format!("{client}({verify})");
            if trusted {
                assert_texts(&python.gives(&call), &["v1", "v2"]);
                assert_eq!(ours.as_ref().unwrap().len(), 2, "{call}");
            } else {
                let raised = python.raises(&call);
                let e = ours.as_ref().unwrap_err();
                same_failure(&raised, "SSLError", None, e, ErrorKind::Transport);
            }
        }
    }
}
