use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> HttpResponse {
    let mut answer = HttpResponse::new(body.to_owned().into());
    *answer.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.parse().unwrap());
    }
    answer
}

fn sent(method: &str, url: &str) -> SentRequest {
    let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = url.parse().unwrap();
    SentRequest::of(&request)
}

const LIST: &str = "http://h/b?list-type=2&prefix=p";
const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

async fn kind(sent: &SentRequest, answer: HttpResponse) -> Option<Kind> {
    let error = sent.check(answer).await.err()?;
    let fault = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<Fault>());
    Some(fault.unwrap().kind)
}

#[tokio::test]
async fn a_page_is_not_accepted_as_a_response() {
    let page = "<!DOCTYPE html><html><body>Log in</body></html>";
    for method in ["GET", "PUT", "HEAD", "DELETE"] {
        let object = sent(method, "http://h/b/k");
        for status in [200, 404] {
            let found = kind(&object, answer(status, &[HTML], page)).await;
            // some stores give the missing body of a HEAD response this type
            let none = method == "HEAD" && status == 404;
            let expected = (!none).then_some(Kind::NotAStore);
            assert_eq!(found, expected, "{method} {status}");
        }
        // moto sends this type with every response
        let headers = [HTML, ("x-amz-request-id", "1")];
        assert_eq!(kind(&object, answer(200, &headers, page)).await, None);
    }
    let list = sent("GET", LIST);
    for body in [page, "", "plain text", "{\"json\": 1}", "<Page/>"] {
        let found = kind(&list, answer(200, &[], body)).await;
        assert_eq!(found, Some(Kind::NotAStore), "{body}");
    }
}

#[tokio::test]
async fn a_listing_must_have_its_root_element() {
    for (url, root) in [
        (LIST, "ListBucketResult"),
        (
            "http://h/c?restype=container&comp=list",
            "EnumerationResults",
        ),
    ] {
        let list = sent("GET", url);
        for body in [
            format!("<{root}/>"),
            format!("<{root}>x</{root}>"),
            format!("\u{feff}<?xml version=\"1.0\"?>\n<!-- c -->\n<{root} xmlns=\"u\"></{root}>"),
            format!("<s3:{root}></s3:{root}>"),
        ] {
            let checked = list.check(answer(200, &[], &body)).await.unwrap();
            let whole = checked.into_body().bytes().await.unwrap();
            assert_eq!(whole, body.as_bytes());
        }
    }
    let list = sent("GET", LIST);
    let error = |code| format!("<Error><Code>{code}</Code></Error>");
    let found = kind(&list, answer(200, &[], &error("InternalError"))).await;
    assert_eq!(found, Some(Kind::Busy));
    let found = kind(&list, answer(200, &[], &error("AccessDenied"))).await;
    assert_eq!(found, Some(Kind::Denied));
    let removal = sent("POST", "http://h/b?delete");
    assert_eq!(
        kind(&removal, answer(200, &[], "<DeleteResult/>")).await,
        None
    );
    let found = kind(&removal, answer(200, &[], "<html></html>")).await;
    assert_eq!(found, Some(Kind::NotAStore));
    // another status is an error by itself
    assert_eq!(kind(&list, answer(503, &[], "<html></html>")).await, None);
}

#[tokio::test]
async fn clock_differences_are_reported_with_their_size() {
    let put = sent("PUT", "http://h/b/k?signature=secret");
    let code = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let date = |minutes| {
        let theirs = Utc::now() + TimeDelta::minutes(minutes);
        theirs.to_rfc2822()
    };
    for (minutes, body, skewed) in [
        (60, code, true),
        (-60, code, true),
        (1, code, true),
        (
            60,
            "<Error><Code>SignatureDoesNotMatch</Code></Error>",
            true,
        ),
        (
            1,
            "<Error><Code>SignatureDoesNotMatch</Code></Error>",
            false,
        ),
        (1, "", false),
    ] {
        let date = date(minutes);
        let found = kind(&put, answer(403, &[("date", &date)], body)).await;
        assert_eq!(found == Some(Kind::Skew), skewed, "{minutes} {body}");
    }
    let ahead = "<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2001-01-01T00:00:00Z</ServerTime></Error>";
    let error = put.check(answer(403, &[], ahead)).await.unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        text.starts_with("PUT http://h/b/k: status 403; the clock of this host is "),
        "{text}"
    );
    assert!(text.contains("s ahead of the store's"), "{text}");
    assert!(text.contains("2001-01-01 00:00:00 there"), "{text}");
    let error = put.check(answer(403, &[], code)).await.unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        text.contains("the response has no time of the store"),
        "{text}"
    );
}

proptest::proptest! {
    #[test]
    fn any_document_is_parsed_without_panic(text in ".{0,100}") {
        let _ = root_of(&text);
        let _ = root_of(&format!("<{text}"));
        let _ = root_of(&format!("<!{text}"));
    }
}
