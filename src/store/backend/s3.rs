//! Opens S3: the order of the credentials, and the bucket's address.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Key, AwsCredentialProvider, Checksum, S3CopyIfNotExists,
};

use crate::store::backend::aws_profile;
use crate::store::backend::aws_profile::Profile;
use crate::store::backend::bounded_list::BoundedList;
use crate::store::backend::clouds::{Opening, once, quick};
use crate::store::backend::credentials;
use crate::store::backend::headers::Signer;
use crate::store::backend::options::Addressing;
use crate::store::backend::options::bad;
use crate::store::error::StoreError;

const NO_CREDENTIALS: &str = "no credentials for S3: AWS_ACCESS_KEY_ID, web identity, \
    a profile with keys, a container's credentials and the instance's metadata \
    service did not give any; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";

/// A bucket of S3 before a client for it exists.
pub(super) struct Bucket {
    builder: AmazonS3Builder,
    pub credentials: AwsCredentialProvider,
    pub region: String,
    /// The URL of the bucket.
    pub url: String,
}

impl Opening<'_> {
    pub(in crate::store) fn s3(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let bucket = self.s3_bucket()?;
        let builder = bucket
            .builder
            .with_http_connector(self.connector.clone().signed_by(Signer {
                credentials: Arc::clone(&bucket.credentials),
                region: bucket.region,
            }))
            .with_credentials(bucket.credentials)
            .with_retry(once());
        Ok(BoundedList::over(
            builder.build().map_err(|e| self.refused(&e))?,
        ))
    }

    /// Returns the address of the bucket, and the credentials for it.
    pub(super) fn s3_bucket(&self) -> Result<Bucket, StoreError> {
        let env = self.env;
        let profile = self.s3_profile()?;
        // a session token in the environment belongs to the environment's keys
        let own = self.profile_decides() && profile.as_ref().is_some_and(|p| p.keys.is_some());
        let builder =
            self.configured(
                AmazonS3Builder::new(),
                "AWS_",
                |builder, key, value| match key {
                    Key::Token if own => builder,
                    key => builder.with_config(key, value),
                },
            );
        let mut builder = match &profile {
            Some(profile) if self.profile_decides() => self.s3_credentials(builder, profile)?,
            _ => builder,
        };
        let profile = profile.unwrap_or_default();
        let region = self.options.region.clone();
        let region = region
            .or_else(|| env("AWS_REGION"))
            .or_else(|| env("AWS_DEFAULT_REGION"));
        let region = region
            .or(profile.region)
            .unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = self.options.endpoint.clone();
        let endpoint = endpoint.or_else(|| env("AWS_ENDPOINT_URL_S3"));
        let endpoint = endpoint.or_else(|| env("AWS_ENDPOINT_URL"));
        let endpoint = endpoint
            .or_else(|| env("AWS_ENDPOINT"))
            .or(profile.endpoint);
        let (virtual_hosted, endpoint) = self.s3_endpoint(endpoint)?;
        builder = builder
            .with_bucket_name(self.bucket)
            .with_region(&region)
            .with_virtual_hosted_style_request(virtual_hosted)
            // the only create-only copy that Amazon supports
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_client_options(self.client.clone());
        builder = if self.options.checksum_header {
            builder.with_checksum_algorithm(Checksum::SHA256)
        } else {
            // a bulk delete always has a checksum header
            builder.with_config(Key::DisableBulkDelete, "true")
        };
        let url = match (&endpoint, virtual_hosted) {
            (Some(endpoint), true) => endpoint.clone(),
            (Some(endpoint), false) => format!("{endpoint}/{}", self.bucket),
            (None, true) => format!("https://{}.s3.{region}.amazonaws.com", self.bucket),
            (None, false) => format!("https://s3.{region}.amazonaws.com/{}", self.bucket),
        };
        if let Some(endpoint) = endpoint {
            // the S3 endpoint has priority over the general one, which the environment may set
            builder = builder.with_config(Key::S3Endpoint, endpoint);
        }
        let asked = builder.clone().with_retry(quick(self.options)).build();
        let asked = asked.map_err(|e| self.refused(&e))?;
        let credentials = credentials::explained(asked.credentials(), NO_CREDENTIALS);
        Ok(Bucket {
            builder,
            credentials,
            region,
            url,
        })
    }

    /// Returns whether the profile provides the credentials: an option names it, or the environment
    /// has no credentials.
    fn profile_decides(&self) -> bool {
        let has = |name| (self.env)(name).is_some();
        let keys = has("AWS_ACCESS_KEY_ID");
        let identity = has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN");
        self.options.profile.is_some() || !(keys || identity)
    }

    /// Reads the profile. Its region and endpoint are used even if its credentials are not.
    fn s3_profile(&self) -> Result<Option<Profile>, StoreError> {
        let named = self
            .options
            .profile
            .clone()
            .or_else(|| (self.env)("AWS_PROFILE"));
        let name = named.as_deref().unwrap_or("default");
        let profile = aws_profile::read(name, named.is_some(), self.env);
        if self.profile_decides() {
            return profile.map(Some);
        }
        // the environment has priority: a missing or unsupported profile is no error then
        Ok(profile.ok())
    }

    fn s3_credentials(
        &self,
        builder: AmazonS3Builder,
        profile: &Profile,
    ) -> Result<AmazonS3Builder, StoreError> {
        let has = |name| (self.env)(name).is_some();
        let yes = |name| (self.env)(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if let Some((id, secret, token)) = &profile.keys {
            let builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.as_str());
            return Ok(match token {
                Some(token) => builder.with_token(token.as_str()),
                None => builder,
            });
        }
        if let Some((role, file)) = &profile.web_identity {
            let builder = builder.with_config(Key::RoleArn, role);
            return Ok(builder.with_config(Key::WebIdentityTokenFile, file));
        }
        if self.options.profile.is_some() {
            return Err(bad(
                "StoreOptions::profile",
                "the profile has no keys".to_owned(),
            ));
        }
        let container = has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if yes("AWS_EC2_METADATA_DISABLED") && !container && !yes("AWS_SKIP_SIGNATURE") {
            return Err(self.no_credentials(NO_CREDENTIALS));
        }
        Ok(builder)
    }

    /// Returns whether the host name contains the bucket, and the endpoint, with the bucket in that
    /// case.
    fn s3_endpoint(&self, endpoint: Option<String>) -> Result<(bool, Option<String>), StoreError> {
        let own = endpoint.is_some();
        let style = self
            .options
            .addressing
            .unwrap_or(if own || self.bucket.contains('.') {
                Addressing::Path
            } else {
                Addressing::VirtualHosted
            });
        let hosted = style == Addressing::VirtualHosted;
        let Some(endpoint) = endpoint else {
            return Ok((hosted, None));
        };
        let mut url = self.endpoint(&endpoint)?;
        if hosted {
            let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| {
                bad(
                    "StoreOptions::addressing",
                    format!("{host} is not a valid host name; use Addressing::Path"),
                )
            })?;
        }
        Ok((hosted, Some(url.as_str().trim_end_matches('/').to_owned())))
    }
}
