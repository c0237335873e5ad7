//! Examines, step by step, how a client authenticates for a repository.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{Method as HttpMethod, Request, Uri};
use longshore_core::{Error, ErrorKind, Result};

use super::authenticator::Authenticator;
use super::method::Method;
use super::scope::{Scope, Scopes};
use super::token::Token;
use super::{Access, Auth};
use crate::credentials::Credential;
use crate::redact::redacted;
use crate::transport::{Body, TransportError};

/// A report of how a client authenticates for a repository.
///
/// The `Debug` output hides the secrets of the credential and the token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthReport {
    /// The results of the credential sources, in order. The search ends at the first source that
    /// has credentials or fails.
    pub lookups: Vec<CredentialLookup>,
    /// The credential that is used. Anonymous if the search failed, or if the credential must not
    /// be sent to this registry.
    pub credential: Credential,
    /// The `WWW-Authenticate` headers of the registry's first 401. Empty if the registry sent no
    /// challenge.
    pub challenge: Vec<String>,
    /// The URL of the token service, if the registry uses one.
    pub token_service: Option<String>,
    /// The scopes that the token request named.
    pub requested_scopes: Vec<Scope>,
    /// The token, if the token service issued one.
    pub token: Option<Token>,
    /// The error that ended the examination early. The results of earlier steps are kept.
    pub failure: Option<Arc<Error>>,
    /// The HTTP status of the last step, a request for the repository's tags.
    pub status: Option<u16>,
}

/// The result of looking up credentials in one source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialLookup {
    /// True if the source had credentials.
    pub found: bool,
    /// The source of the credentials, or the reason why there are none, as one clause.
    pub description: String,
}

/// The subject of a report.
pub(crate) struct Question {
    /// The registry and the scopes to request. The first scope names the repository whose
    /// credentials are used.
    pub(crate) access: Access,
    /// The URL to request after the registry's root, if any.
    pub(crate) page: Option<Uri>,
}

impl Auth {
    /// Examines authentication step by step, without using cached state.
    pub(crate) async fn explain(&self, question: &Question) -> AuthReport {
        let (mut report, outcome) = self.examine(question).await;
        report.failure = outcome.err().map(Arc::new);
        report
    }

    async fn examine(&self, question: &Question) -> (AuthReport, Result<()>) {
        let access = &question.access;
        let repository = access.scopes.repository();
        let lookups = self.setup.credentials.look(&access.registry, repository.as_ref()).await;
        let lookups = lookups.into_iter().map(|result| match result {
            Ok(credential) => CredentialLookup {
                found: !credential.is_anonymous(),
                description: credential.source().to_owned(),
            },
            Err(e) => CredentialLookup { found: false, description: e.to_string() },
        });
        let mut report = AuthReport {
            lookups: lookups.collect(),
            credential: Credential::anonymous("not checked"),
            challenge: Vec::new(),
            token_service: None,
            requested_scopes: Vec::new(),
            token: None,
            failure: None,
            status: None,
        };
        let outcome = self.run(question, &mut report).await;
        (report, outcome.map_err(TransportError::into_error))
    }

    /// Requests a token for the scopes of the question.
    pub(crate) async fn fetch_token(&self, question: &Question) -> Result<Token> {
        let (report, outcome) = self.examine(question).await;
        if let Some(token) = report.token {
            return Ok(token);
        }
        outcome?;
        let clause = match (report.challenge.is_empty(), &report.token_service) {
            (true, _) => "the registry requires no credentials and issues no tokens",
            (false, None) => "the registry requires a password and issues no tokens",
            (false, Some(_)) => "the credentials are a token, so no other token was requested",
        };
        Err(Error::new(ErrorKind::Unsupported).detail(clause))
    }

    async fn run(
        &self,
        question: &Question,
        report: &mut AuthReport,
    ) -> Result<(), TransportError> {
        let access = &question.access;
        let authenticator = self.new_authenticator(&access.registry);
        let challenged = self.challenge(&authenticator, question, report).await;
        if let Ok(credential) = authenticator.credential(access).await {
            report.credential = (*credential).clone();
        }
        let challenged = challenged?;
        let header = match authenticator.method() {
            None => None,
            Some(Method::Basic) => authenticator.authorization(access, &challenged).await?,
            Some(Method::Bearer(service)) => {
                report.token_service = Some(redacted(&service.realm));
                match report.credential.bearer() {
                    Some(bearer) => Some(bearer),
                    None => {
                        let wanted = access.scopes.and(&challenged);
                        report.requested_scopes = wanted.to_vec();
                        let token = authenticator.fetch_token(access, &service, &wanted).await?;
                        let header = token.header();
                        report.token = Some(token);
                        header
                    }
                }
            }
        };
        let Some(page) = &question.page else { return Ok(()) };
        let mut request = get(page);
        super::authorize(&mut request, header);
        let reply = self.inner.send(request).await?;
        report.status = Some(reply.status().as_u16());
        reply.into_body().drain().await;
        Ok(())
    }

    /// Requests the registry's root, then the page, until a reply is a 401.
    async fn challenge(
        &self,
        authenticator: &Authenticator,
        question: &Question,
        report: &mut AuthReport,
    ) -> Result<Scopes, TransportError> {
        for uri in [Some(&question.access.root), question.page.as_ref()].into_iter().flatten() {
            let reply = self.inner.send(get(uri)).await?;
            let status = reply.status().as_u16();
            let headers = reply.headers().clone();
            reply.into_body().drain().await;
            if status == 401 {
                let lines = headers.get_all(WWW_AUTHENTICATE).iter();
                let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
                report.challenge = lines.collect();
                return Ok(authenticator.learn(&question.access, &headers).await?);
            }
        }
        Ok(Scopes::default())
    }
}

fn get(uri: &Uri) -> Request<Body> {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = HttpMethod::GET;
    *request.uri_mut() = uri.clone();
    request
}
