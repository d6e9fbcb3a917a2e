"""What is a page view, in which order reasons are found, and that the raw verdicts agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.errors import ConfigError
from ingestor.model import Hit, Reason
from ingestor.pageviews import PageViewOptions, Rules, Site
from ingestor.pageviews.paths import extension_of, path_of

WEBSITE = "3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c"

SITE = Site("3c4e9b1a-0f2d-4c5e-8a7b-6d9e0f1a2b3c", "example.com", ("*",))
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def reason(verdict: Any) -> Reason | None:
    return verdict if isinstance(verdict, Reason) else None


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", None), ("HEAD", Reason.METHOD), ("POST", Reason.METHOD), ("get", Reason.METHOD),
     ("CONNECT", Reason.METHOD), ("OPTIONS", Reason.METHOD)],
)  # fmt: skip
def test_only_get_counts(
    method: str, expected: Reason | None, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert reason(rules().decide(hit(method=method))) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, None), (201, None), (203, None), (204, Reason.STATUS), (206, Reason.STATUS),
     (299, None), (301, Reason.STATUS), (304, None), (404, Reason.STATUS), (499, Reason.STATUS),
     (500, Reason.STATUS), (0, Reason.STATUS)],
)  # fmt: skip
def test_success_and_not_modified_count(
    status: int, expected: Reason | None, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules()
    assert reason(ours.decide(hit(status=status))) is expected
    if status:
        assert ours.statuses[b"%d" % status] is (expected or True)


@pytest.mark.parametrize(
    "target",
    ["/", "/index.html", "/blog/", "/a.b/c", "/page.php?file=x.css", "/v1.2/notes", "/about.htm",
     "/docs/api/intro", "/api/fs.html", "/api/java/lang/String.htm",
     "/feedback", "/healthy-food", "/robots", "/sitemap", "/wp-content",
     "/status", "http://example.com/x", "/caf%C3%A9", "/x;v=1.css", "/readme.txt", "/.", "/a."],
)  # fmt: skip
def test_pages(target: str, hit: Callable[..., Hit], rules: Callable[..., Rules]) -> None:
    ours = rules(sites=(SITE,))
    assert reason(ours.decide(hit(target=target))) is None
    assert ours.requests[b"GET " + target.encode() + b" HTTP/1.1"] is True


@pytest.mark.parametrize(
    "target",
    ["/a.css", "/a.CSS?v=1", "/x/y.min.js", "//favicon.ico", "/favicon.ico?x=/y", "/a.css;v=1",
     "/a.css;jsessionid=1?x", "/a.css.", "/a.css..", "/a%2Ecss", "/%66avicon.%69co",
     "http://example.com/logo.svg", "/x/../a.png", "/fonts/a.woff2#iefix", "/a.js.map",
     "/manifest.json", "/report.pdf", "//cdn//x.webp", "/pagefind/fragment/de_1a2b.pf_fragment",
     "/pagefind/wasm.de.pagefind", "/pool/a/apt_2.6.1.dsc", "/dl/Setup-1.2.AppImage"],
)  # fmt: skip
def test_assets_are_told_by_the_paths_extension(
    target: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=(SITE,))
    assert ours.decide(hit(target=target)) is Reason.ASSET
    assert ours.requests[b"GET " + target.encode() + b" HTTP/2.0"] is Reason.ASSET


@pytest.mark.parametrize(
    "target",
    ["/hnap1-router-review", "/bundles/jquery-course", "/blog/wp-config.php-explained",
     "/customer/section/loading-docs", "/wiki/.htaccess", "/docs/api.php", "/site/yellow.cab"],
)  # fmt: skip
def test_what_people_write_about_such_things_is_a_page(
    target: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert reason(rules().decide(hit(target=target))) is None


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/wiki/File:Castle.jpg", None), ("/wiki/Node.js?action=history", None),
        ("/wiki/%D0%A4%D0%B0%D0%B9%D0%BB:%D0%90.svg", None), ("/wiki/User:Jane/common.js", None),
        ("http://example.com/wiki/Datei:X.PNG", None), ("/wiki/Robots.txt", Reason.PATH),
        ("/wiki/skins/a.css", Reason.ASSET), ("/wiki/favicon.ico", Reason.ASSET),
        ("/wiki/_media/A.png", Reason.ASSET), ("/wiki/images/a/ab/Castle.jpg", Reason.ASSET),
        ("/wiki/../Castle.jpg", Reason.ASSET), ("/File:Castle.jpg", Reason.ASSET),
        ("/images/Wiki/Castle.jpg", Reason.ASSET), ("//wiki/Castle.jpg", Reason.ASSET),
    ],
)  # fmt: skip
def test_an_article_about_a_file_is_a_page(
    target: str, why: Reason | None, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(sites=(SITE,))
    assert reason(ours.decide(hit(target=target))) is why
    assert ours.requests[b"GET " + target.encode() + b" HTTP/1.1"] is (why or True)


@pytest.mark.parametrize(
    "target",
    ["/robots.txt", "/ROBOTS.TXT", "//robots.txt", "/sitemap.xml", "/sitemap_index.xml",
     "/news/sitemap-2.xml", "/feed", "/feed/", "/blog/feed/", "/index.xml", "/rss.xml", "/x.rss",
     "/.well-known/acme-challenge/x", "/healthz", "/health", "/api/v1/items", "/api/",
     "/wp-json/wp/v2/posts", "/wp-admin/", "/blog/wp-admin/admin-ajax.php", "/wp-login.php",
     "/xmlrpc.php", "/graphql", "/graphql?query=x", "/socket.io/?EIO=4", "/x/../api/y",
     "/%61pi/x", "//api/x", "/./api/x", "/ads.txt", "/server-status"],
)  # fmt: skip
def test_what_programs_ask_for_is_no_page(
    target: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules()
    assert ours.decide(hit(target=target)) is Reason.PATH
    assert ours.requests[b"GET " + target.encode() + b" HTTP/1.1"] is Reason.PATH


@pytest.mark.parametrize(
    "target", ["*", "", "example.com:443", "foo", "?x", "#x", "http://", "http:///x", "ftp://x/y"]
)
def test_targets_that_are_no_page(
    target: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert rules().decide(hit(target=target)) is Reason.TARGET


@pytest.mark.parametrize(
    ("target", "changes", "is_ours"),
    [
        ("http://azenv.net/x", {}, False),
        ("http://azenv.net/x", {"host": None}, False),
        ("http://azenv.net:80/x", {}, False),
        ("HTTP://user@AZENV.net", {"host": "-"}, False),
        ("http://203.0.113.80/", {"host": None}, False),
        ("http://example.com/x", {}, True),
        ("http://WWW.example.com/x", {"host": None}, True),
        ("http://com/x", {"host": None}, True),  # above a name of ours; it is no address either
        ("http://azenv.net/x", {"host": "azenv.net:80"}, None),  # a vhost that matches no site
        # as balancers write it
        ("https://azenv.net:443/x", {"host": None}, None),
        ("http://azenv.net:80/x", {"host": None}, None),
        ("http://azenv.net/x", {"host": None, "protocol": "HTTP/2.0"}, None),
    ],
)
def test_a_page_of_others_that_is_asked_of_a_proxy_is_none_of_ours(
    target: str,
    changes: dict[str, Any],
    is_ours: bool | None,
    hit: Callable[..., Hit],
    rules: Callable[..., Rules],
) -> None:
    everywhere = (Site(WEBSITE, "example.com", ("*",)),)
    verdict = reason(rules(sites=everywhere).decide(hit(target=target, **changes)))
    assert verdict is (Reason.TARGET if is_ours is False else None)
    nameless = (Site(WEBSITE, "", ("*",)),)
    assert reason(rules(sites=nameless).decide(hit(target=target, **changes))) is None


def test_an_included_path_counts_whatever_else_is_said(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(include_paths=("/docs/*.pdf", "re:^/api/docs"))
    assert reason(ours.decide(hit(target="/docs/manual.pdf"))) is None
    assert reason(ours.decide(hit(target="/api/docs/x"))) is None
    assert ours.decide(hit(target="/other.pdf")) is Reason.ASSET
    assert ours.decide(hit(target="/api/x")) is Reason.PATH
    assert ours.paths_override_assets
    assert not rules().paths_override_assets
    only = rules(exclude_paths=("*",), include_paths=("/blog/*",))
    assert only.decide(hit(target="/")) is Reason.PATH
    assert reason(only.decide(hit(target="/blog/x"))) is None


def test_methods_statuses_and_extensions_are_settings(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(methods=("get", "POST"), statuses=("!500", "500-599", "404"), assets=(".Page",))
    assert reason(ours.decide(hit(method="POST", status=404, target="/a.css"))) is None
    assert ours.decide(hit(status=500)) is Reason.STATUS
    assert reason(ours.decide(hit(status=501))) is None
    assert ours.decide(hit(status=200)) is Reason.STATUS
    assert ours.decide(hit(status=404, target="/x.page")) is Reason.ASSET
    assert ours.assets == {"page"}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"methods": ("GET", "G T")}, "methods[1]"),
        ({"methods": ()}, "methods"),
        ({"statuses": ()}, "statuses"),
        ({"statuses": ("!404",)}, "statuses"),
        ({"statuses": ("200", "2xx")}, "statuses[1]"),
        ({"statuses": ("299-200",)}, "statuses[0]"),
        ({"exclude_paths": ("re:(",)}, "exclude_paths[0]"),
        ({"exclude_paths": ("/a", "private/*")}, "exclude_paths[1]"),
        ({"include_paths": ("https://example.com/docs",)}, "include_paths[0]"),
        ({"exclude_paths": ("",)}, "exclude_paths[0]"),
        ({"exclude_paths": ("/??/x", "re:\\?s=", "/?s=*")}, "exclude_paths[2]"),
        ({"include_referrers": ("re:[",)}, "include_referrers[0]"),
        ({"strip_query": ("re:*",)}, "strip_query[0]"),
        ({"secret_parameters": ("re:)",)}, "secret_parameters[0]"),
    ],
)
def test_a_setting_that_cannot_be_right_names_its_key(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rules(PageViewOptions(**options), ())
    assert caught.value.key == f"pageviews.{key}"
    assert str(caught.value).startswith(f"pageviews.{key}: ")


@pytest.mark.parametrize("user_agent", [None, "", "-", "  "])
def test_a_hit_without_user_agent_counts_only_where_that_is_allowed(
    user_agent: str | None, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert rules().decide(hit(user_agent=user_agent)) is Reason.NO_USER_AGENT
    verdict = rules(require_user_agent=False).decide(hit(user_agent=user_agent))
    assert isinstance(verdict, tuple)
    assert verdict[1]["userAgent"] == ""


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Preview", "PRERENDER"])
def test_a_prefetch_is_no_page_view(
    purpose: str, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    assert rules().decide(hit(purpose=purpose)) is Reason.PREFETCH
    assert reason(rules(filter_prefetch=False).decide(hit(purpose=purpose))) is None
    assert reason(rules().decide(hit(purpose="navigate"))) is None


SUBRESOURCES = [
    ({"fetch_dest": "image", "fetch_mode": "no-cors"}, True),
    ({"fetch_dest": "Script"}, True),
    ({"fetch_dest": "empty", "fetch_mode": "cors", "accept": "*/*"}, True),
    ({"fetch_dest": "empty", "fetch_mode": "navigate"}, False),  # through a service worker
    ({"fetch_dest": "empty"}, False),  # where neither mode nor Accept is logged, perhaps as well
    # Turbo puts pages together from what it fetches; people look at them
    ({"fetch_dest": "empty", "accept": "text/html, application/xhtml+xml"}, False),
    ({"fetch_dest": "image", "accept": "text/html,application/xhtml+xml"}, True),
    # <link rel=prefetch>
    (
        {
            "fetch_dest": "empty",
            "fetch_mode": "no-cors",
            "accept": "text/html,application/xhtml+xml",
        },
        True,
    ),
    ({"fetch_dest": "document", "fetch_mode": "navigate"}, False),
    ({"fetch_dest": "iframe"}, False),
    ({"fetch_dest": "-"}, False),
    ({"fetch_dest": ""}, False),
    ({"fetch_dest": "nonsense"}, False),
    ({"requested_with": "XMLHttpRequest"}, True),
    ({"requested_with": "xmlhttprequest", "accept": "text/html, application/xhtml+xml"}, False),
    ({"requested_with": "com.example.app"}, False),  # Android's web views name their app
]


@pytest.mark.parametrize(("headers", "is_part"), SUBRESOURCES)
def test_a_part_of_a_page_is_no_page_view(
    headers: dict[str, str], is_part: bool, hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    expected = Reason.SUBRESOURCE if is_part else None
    assert reason(rules().decide(hit(**headers))) is expected
    assert reason(rules(filter_subresources=False).decide(hit(**headers))) is None


def test_user_agents_are_excluded_and_included(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(exclude_user_agents=("*firefox*",), include_user_agents=("*firefox/140*",))
    assert reason(ours.decide(hit())) is None
    assert ours.decide(hit(user_agent=FIREFOX.replace("140", "139"))) is Reason.USER_AGENT


def test_referrers_are_excluded_by_host_or_as_a_whole(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(
        exclude_referrers=("*.spam.example", "*/casino/*", "re:viagra"),
        include_referrers=("ok.spam.example",),
    )
    assert ours.decide(hit(referrer="https://www.SPAM.example/x")) is Reason.REFERRER
    assert ours.decide(hit(referrer="https://x.example/casino/1")) is Reason.REFERRER
    assert ours.decide(hit(referrer="viagra")) is Reason.REFERRER
    assert reason(ours.decide(hit(referrer="https://ok.spam.example/"))) is None
    assert reason(ours.decide(hit(referrer=None))) is None
    assert reason(ours.decide(hit(referrer="-"))) is None
    assert reason(rules(exclude_referrers=("*",)).decide(hit(referrer="-"))) is None


def test_dates_count_from_since_to_just_before_until(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules(since=100, until=200)
    found = [reason(ours.decide(hit(time=time))) for time in (99, 100, 199, 200)]
    assert found == [Reason.DATE, None, None, Reason.DATE]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/about?_rsc=1ld0r", Reason.QUERY),
        ("/about?a=b&_rsc", Reason.QUERY),
        ("/?_data=routes%2Findex", Reason.QUERY),
        ("/?feed=rss2", Reason.QUERY),
        ("/?rest_route=%2Fwp%2Fv2%2Fposts", Reason.QUERY),
        ("/news?feed=sports&x_rsc=1", None),
        ("/?q=_rsc", None),
        ("/_next/image?url=%2Fhero.png&w=1080", Reason.PATH),
        ("/wp-sitemap-posts-post-1.xml", Reason.PATH),
        ("/post-sitemap.xml", Reason.PATH),
        ("/main-sitemap.xsl", Reason.ASSET),
        ("/sitemap", None),
        ("/health/ready", Reason.PATH),
        ("/health/sleeping-well", None),
    ],
)
def test_what_scripts_and_robots_ask_for_is_no_page(
    target: str, why: Reason | None, rules: Callable[..., Rules], hit: Callable[..., Hit]
) -> None:
    assert reason(rules().decide(hit(target=target))) is why


@pytest.mark.parametrize(
    "target",
    [
        "/wp-includes/js/tinymce/wp-tinymce.php?c=1", "/w/opensearch_desc.php", "/cdn-cgi/rum",
        "/_ah/warmup", "/__/auth/handler", "/solr/admin/info/system", "/_profiler/phpinfo",
        "/owa/auth/logon.aspx", "/?wordfence_lh=1&hid=A", "/recentchanges?format=rss",
        "/node/1?_format=json", "/node/1?_wrapper_format=drupal_modal", "/checkout/cart?isAjax=1",
        "/w/load.php?modules=startup&only=scripts", "/w/api.php?action=query",
        "/w/rest.php/v1/page/X", "/lib/exe/css.php?t=dokuwiki", "/wiki/lib/exe/fetch.php/logo?w=64",
        "/lib/exe/taskrunner.php", "/WebResource.axd?d=x", "/Avatar.ashx?id=1",
        "/bundles/jqueryval?v=x", "/Content/css?v=x", "/theme/styles.php/boost/1/all",
        "/moodle/theme/image.php/boost/core/1/help",
        "/theme/yui_combo.php?rollup/3.17.2/yui-moodlesimple-min.js", "/lib/javascript.php/1/lib/x",
        "/pluginfile.php/1/user/icon/boost/f1", "/forum/download/file.php?avatar=2_1.png",
        "/forum/cron.php?cron_type=tidy", "/forum/app.php/cron/cron.task.core.tidy_search",
        "/css.php?css=public:normalize.less&s=1", "/forum/css.php?styleid=1&sheet=bbcode.css,x.css",
        "/task.php", "/en/customer/section/load/?sections=cart", "/page_cache/block/esi/",
        "/__manifest?p=%2F&version=1", "/_server-islands/Avatar?e=default",
        "/de/views/ajax?view_name=x", "/component/ajax/?format=raw",
        "/index.php?option=com_ajax&module=x", "/news?format=feed",
        "/forum/index.php?action=dlattach;topic=1.0;attach=5;image", "/session/csrf",
        "/presence/get?channels%5B%5D=x", "/matomo.php?idsite=1", "/stats/piwik.php",
        "/g/collect?v=2", "/?feed=comments-rss2", "/a/feed/json", "/rss", "/blog/rss/", "/de/rss",
        "/blog/atom", "/.env.production", "/.aws/credentials", "/app/.git/config", "/.vscode/sftp",
        "/x/.env.local", "/wp-config.php~", "/wp-config-sample.php", "/wp-config.txt",
        "/test/phpinfo.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/actuator",
        "/actuator/health", "/cgi-bin/luci/;stok=/locale", "/HNAP1/", "/boaform/admin/formLogin",
        "/graphql", "/v1/graphql", "/autodiscover/autodiscover.xml", "/Build/game.wasm.br",
        "/models/chair.glb", "/x.pmtiles",
        "/ocs/v2.php/apps/notifications/api/v2/notifications", "/cloud/ocs/v1.php/cloud/user",
        "/remote.php/dav/files/jane/a.md", "/public.php/dav/files/x", "/index.php/csrftoken",
        "/index.php/core/preview?fileId=1&x=64&y=64", "/index.php/avatar/jane/64",
        "/avatar/jane/512/dark?v=1", "/avatars/0cc175b9c0f1b6a831c399e269772661?size=48",
        "/?_task=mail&_action=list&_mbox=INBOX&_remote=1&_unlock=loading1",
        "/_matrix/client/v3/sync?timeout=30000", "/_synapse/client/x", "/signalr/ping",
        "/_blazor/initializers", "/index.php?title=MediaWiki:X.js&action=raw&ctype=text%2Fcss",
        "/jsonapi/node/page", "/session/token", "/rest/V1/products", "/rest/de/V1/directory/x",
        "/widgets/checkout/info", "/de/widgets/index/refreshStatistic", "/store-api/context",
        "/group/project/-/issues/1/realtime_changes", "/-/readiness", "/-/liveness",
        "/?_=1700000000123", "/list?draw=1&_=1700000000123", "/x?callback=jQuery36_17&id=1",
        "/cart?ajax=1", "/x?ajax=true&y=1", "/goods.php?is_ajax=1", "/3-shoes?from-xhr",
        "/x?format=json", "/_ipx/w_64/cover", "/_vercel/insights/view", "/_serverFn/abc",
        "/_app/remote/abc/load", "/wp-includes/ID3/", "/blog/wp-includes/version.php",
        "/wp-content/plugins/akismet/index.php", "/wp-content/themes/x/timthumb.php?src=a.jpg",
        "/wp-content/index.php", "/feeds/all", "/blog/feeds/latest/", "/de/feeds/news",
        "/a/feeds/posts/default", "/a/feeds/comments/default",
    ],
)  # fmt: skip
def test_what_widespread_software_and_scanners_ask_for_is_no_page(
    target: str, rules: Callable[..., Rules], hit: Callable[..., Hit]
) -> None:
    assert reason(rules().decide(hit(target=target))) in {Reason.PATH, Reason.QUERY, Reason.ASSET}


@pytest.mark.parametrize(
    "target",
    [
        "/blog?format=long", "/_next", "/owa", "/profiler/x",
        "/lib/exe/detail.php?id=start&media=logo.png", "/bundles/starter-kit", "/bundles/",
        "/tutorial/css.php", "/learn/js.php", "/theme/dark", "/presence/berlin",
        "/history/rome/read", "/wp-config-php-explained/", "/docs/phpunit/assertions",
        "/actuator/linear-12v", "/download.php", "/wiki/RSS", "/tag/rss", "/tag/atom",
        "/science/atom/", "/tag/graphql", "/graphql/reference/x", "/questions/tagged/.net",
        "/tag/.gitignore", "/feed/subscriptions", "/home?feed=following", "/news?format=html",
        "/index.php?action=profile", "/whois/claude.ai", "/whois/uol.com.br", "/shop?sheet=a4",
        "/?css=grid", "/avatar/aang/64-facts", "/avatars/dragons", "/avatar/book/1", "/ocs/",
        "/?_task=mail&_mbox=INBOX", "/remote", "/preview?id=1", "/status.php", "/rest/", "/rest/v1",
        "/session/token-ring", "/widgets/", "/widgets/blue", "/?action=raw", "/signalr",
        "/group/project/-/issues/1",
        "/products/feeds/cattle", "/shop/feeds/", "/wp-content/",
        "/wp-content/uploads/2025/", "/blog/wp-includes-explained", "/?_=1",
        "/?_=17000000001234", "/?x_=1700000000123", "/?callback=1", "/login?callback=/me",
        "/shop?ajax=0", "/search?q=format=json",
    ],
)  # fmt: skip
def test_pages_that_resemble_these_stay_pages(
    target: str, rules: Callable[..., Rules], hit: Callable[..., Hit]
) -> None:
    assert reason(rules().decide(hit(target=target))) is None


def test_parameters_that_exclude_are_the_operators_choice(
    rules: Callable[..., Rules], hit: Callable[..., Hit]
) -> None:
    ours = rules(exclude_parameters=("preview=*", "Ajax"))
    for target, why in {
        "/?_rsc=1": None, "/?preview=true": Reason.QUERY, "/?preview": None,
        "/?ajax=1": Reason.QUERY, "/?a#ajax": None,
    }.items():  # fmt: skip
        assert reason(ours.decide(hit(target=target))) is why, target
    assert reason(rules(exclude_parameters=()).decide(hit(target="/?_rsc=1"))) is None


ORDER: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.METHOD, {"method": "POST"}),
    (Reason.ASSET, {"target": "/api/x.css"}),
    (Reason.PATH, {"target": "/api/x"}),
    (Reason.STATUS, {"status": 404}),
    (Reason.BOT, {"user_agent": "curl/8"}),
    (Reason.USER_AGENT, {"user_agent": "Mozilla/5.0 (X11; Linux) Excluded/1.0"}),
    (Reason.QUERY, {"target": "/%00?_rsc=1"}),
    (Reason.TARGET, {"target": "http://azenv.net/"}),
    (Reason.PREFETCH, {"purpose": "prefetch"}),
    (Reason.SUBRESOURCE, {"fetch_dest": "image"}),
    (Reason.BAD_ADDRESS, {"address": "nobody"}),
    (Reason.HOST, {"host": "excluded.example"}),
    (Reason.NO_SITE, {"host": "elsewhere.example"}),
    (Reason.ADDRESS, {"address": "192.0.2.1"}),
    (Reason.REFERRER, {"referrer": "https://excluded.example/"}),
    (Reason.DATE, {"time": 1}),
    (Reason.UNSTORABLE, {"target": "/%00"}),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_reason_in_the_canonical_order_is_given(
    first: int, site: Site, hit: Callable[..., Hit]
) -> None:
    options = PageViewOptions(
        exclude_user_agents=("*excluded*",), exclude_hosts=("excluded.example",),
        exclude_addresses=("192.0.2.1",), exclude_referrers=("excluded.example",),
    )  # fmt: skip
    ours = Rules(options, (site,), since=2)
    changes: dict[str, Any] = {}
    for _, change in reversed(ORDER[first:]):
        changes.update(change)
    assert ours.decide(hit(**changes)) is ORDER[first][0]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?c=/d.css", "/a/b"),
        ("//a///b", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/../../x", "/x"),
        ("/a;x=1/b;y", "/a/b"),
        ("/%41%2F%2E%2E/b", "/b"),
        ("/%2541", "/%41"),
        ("http://h.example", "/"),
        ("http://h.example?x", "/"),
        ("/.hidden/x", "/.hidden/x"),
    ],
)
def test_rules_look_at_the_path_as_a_server_would(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("path", "extension"),
    [("/", ""), ("/a", ""), ("/a.B", "b"), ("/a.b.c", "c"), ("/a.b/", ""), ("/.env", "env"),
     ("/a.css. .", "css"), ("/...", "")],
)  # fmt: skip
def test_the_extension_is_the_last_segments(path: str, extension: str) -> None:
    assert extension_of(path) == extension


@pytest.mark.parametrize(
    "request_line",
    [b"", b"-", b"GET", b"GET /a.css", b"GET  /a.css HTTP/1.1", b" GET /a.css HTTP/1.1",
     b"GET /a b.css HTTP/1.1", b"GET /a\\x22.css HTTP/1.1", b"\\x16\\x03\\x01", b"get /a HTTP/1.1",
     b"GET /\xff.css HTTP/1.1", b"GET /a.css HTTP/1.1 ", b"GET /a.css FTP/1.1",
     b"GET foo HTTP/1.1", b"GET http:///a.css HTTP/1.1", b"%b / HTTP/1.1" % (b"A" * 33)],
)  # fmt: skip
def test_a_request_that_parsers_may_read_differently_is_not_decided(
    request_line: bytes, rules: Callable[..., Rules]
) -> None:
    assert rules().requests[request_line] is None


@pytest.mark.parametrize("raw", [b"", b"-", b"20", b"2000", b"abc", b" 200"])
def test_a_status_that_is_none_is_not_decided(raw: bytes, rules: Callable[..., Rules]) -> None:
    assert rules().statuses[raw] is None


@pytest.mark.parametrize("raw", [b"curl \\x22", b'curl "', b"curl \xff", b"curl\t"])
def test_a_user_agent_with_escapes_is_not_decided(raw: bytes, rules: Callable[..., Rules]) -> None:
    assert rules().agents[raw] is None


STRICT = Rules(PageViewOptions(), (SITE,))
OTHER = Rules(
    PageViewOptions(
        methods=("GET", "POST"), statuses=("200-399", "!302"), include_paths=("/assets/*",),
        exclude_paths=("re:(?i)private", "/a*"), also_bots=("*firefox*",),
        exclude_user_agents=("*chrome*",), require_user_agent=False, assets=("css",),
    ),
    (SITE,),
)  # fmt: skip
REQUEST_REASONS = (Reason.METHOD, Reason.TARGET, Reason.ASSET, Reason.PATH)
AGENT_REASONS = (Reason.NO_USER_AGENT, Reason.BOT, Reason.USER_AGENT)
TARGETS = st.lists(
    st.sampled_from(
        ["/", "a", "assets", ".css", ".js", ".", "..", "?", "%2e", "%2F", ";", "private", "api",
         "robots.txt", "#", "*", "http://h", ":443", "//", "~", "&", "=", "/wiki/", "A:"]
    ),
    max_size=7,
).map("".join)  # fmt: skip
AGENTS = st.sampled_from(
    ["", "-", " ", FIREFOX, "curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64) Chrome/138.0.0.0", "x"]
) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@pytest.mark.parametrize("ours", [STRICT, OTHER])
@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "CONNECT"]),
    target=TARGETS | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    status=st.sampled_from([200, 204, 206, 301, 302, 304, 404, 500]),
    user_agent=AGENTS,
)
def test_the_raw_verdicts_are_those_of_decide(
    ours: Rules, method: str, target: str, status: int, user_agent: str
) -> None:
    logged = "" if user_agent == "-" else user_agent
    verdict = reason(
        ours.decide(
            Hit(1_790_000_000, "192.0.2.1", method, target, "HTTP/2.0", status, "example.com",
                None, logged)
        )
    )  # fmt: skip
    by_request = ours.requests[f"{method} {target} HTTP/2.0".encode()]
    by_status = ours.statuses[b"%d" % status]
    by_agent = ours.agents[user_agent.encode()]
    plain = re.match(r"/|[a-z][a-z0-9]{0,31}://[^/?#]", target) and not set(target) & set('"\\')
    if plain and method == "CONNECT" and not target.startswith("/"):
        assert by_request is None  # a parser refuses it
    elif plain:
        assert by_request is (verdict if verdict in REQUEST_REASONS else True)
    if verdict not in REQUEST_REASONS:
        assert by_status is (verdict if verdict is Reason.STATUS else True)
        if verdict is not Reason.STATUS and not set(user_agent) & set('"\\'):
            assert by_agent is (verdict if verdict in AGENT_REASONS else True)
    if by_request is True and by_status is True and by_agent is True:
        assert verdict is None or verdict not in (*REQUEST_REASONS, Reason.STATUS)


def test_a_hit_that_has_passed_the_raw_verdicts_is_judged_the_same(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    ours = rules()
    for changes in ({}, {"host": "elsewhere.example"}, {"address": "x"}, {"target": "/%00"}):
        assert ours.page_view(hit(**changes)) == ours.decide(hit(**changes))


def test_kept_lines_are_masked_as_configured(rules: Callable[..., Rules]) -> None:
    line = b'81.2.69.142 - - [x] "GET /?a=1&token=s3cret HTTP/1.1" 200 "-" "M (X; y)"'
    assert rules().mask_line(line) == line.replace(b"s3cret", b"")
    assert rules().mask_line(b"81.2.69.142 \xff") == b"81.2.69.142 \xff"
    both = rules(anonymize_ip=True).mask_line(line)
    assert both == line.replace(b"s3cret", b"").replace(b".142", b".0")
    plain = rules(mask_secrets=False)
    assert plain.mask_line(line) == line
    assert not plain.masks_lines
    json_line = rb'{"uri":"/?key=s3cret\u0026a=1","r":"https://x/?n=%2F%3Ftoken%3Ds3cret%26a"}'
    assert rules().mask_line(json_line) == json_line.replace(b"s3cret", b"")


def test_vhosts_without_a_site_are_remembered_and_strangers_cannot_fill_the_memory(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    judge = rules()
    for host in ("www.example.com", "other.example", "Other.Example:443", "third.example"):
        judge.decide(hit(host=host), None)
    judge.decide(hit(host="asset.example", target="/x.png"), None)
    assert list(judge.unplaced) == ["other.example", "third.example"]
    judge.decide(hit(host="x" * 300), None)
    for i in range(3000):
        assert judge.decide(hit(host=f"v{i}.example"), None) is Reason.NO_SITE
    assert len(judge.unplaced) == 1000
    assert max(map(len, judge.unplaced)) <= 253
