"""Programs and people: the shipped verdicts, and lists of our own that no rule was made from."""

# ruff: noqa: E501 - user agents are as long as they are
from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.errors import ConfigError
from ingestor.model import Hit, Reason
from ingestor.pageviews import Rules
from ingestor.pageviews.bots import MAX_LENGTH, Bots, is_bot

ANDROID = "Mozilla/5.0 (Linux; Android 15; {}) AppleWebKit/537.36 (KHTML, like Gecko) "
WEBVIEW = "Mozilla/5.0 (Linux; Android 14; SM-S921B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/138.0.7204.63 Mobile Safari/537.36 "
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "

PEOPLE = [
    # Chrome
    WINDOWS + "Chrome/138.0.0.0 Safari/537.36",
    MAC + "Chrome/138.0.0.0 Safari/537.36",
    LINUX + "Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
    ANDROID.format("Pixel 9 Pro") + "Chrome/138.0.7204.63 Mobile Safari/537.36",
    ANDROID.format("K").replace("15", "10") + "Chrome/138.0.0.0 Mobile Safari/537.36",
    IPHONE + "CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko, CWAWEBVIEW/21.3.1.65534",
    # Firefox
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
    IPHONE + "FxiOS/140.0 Mobile/15E148 Safari/605.1.15",
    # Safari
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    IPHONE + "Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    # Edge, Opera, Vivaldi, Brave (which is Chrome's), Yandex, UC, Samsung, DuckDuckGo, Ecosia …
    WINDOWS + "Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
    ANDROID.format("HD1913") + "Chrome/138.0.0.0 Mobile Safari/537.36 EdgA/138.0.0.0",
    IPHONE + "Version/18.0 EdgiOS/138.0.3351.65 Mobile/15E148 Safari/604.1",
    WINDOWS + "Chrome/137.0.0.0 Safari/537.36 OPR/122.0.0.0",
    ANDROID.format("SM-A546B") + "Chrome/137.0.0.0 Mobile Safari/537.36 OPR/90.0.0.0",
    "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
    WINDOWS + "Chrome/138.0.0.0 Safari/537.36 Vivaldi/7.5.3735.44",
    WINDOWS + "Chrome/136.0.0.0 YaBrowser/25.6.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; U; Android 13; en-US; RMX3085 Build/SP1A.210812.016) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.58 UCBrowser/13.7.8.1319 Mobile Safari/537.36",
    ANDROID.format("SAMSUNG SM-S918B") + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ANDROID.format("Pixel 7") + "Version/4.0 Chrome/138.0.7204.63 Mobile DuckDuckGo/5 Safari/537.36",
    IPHONE + "Version/18.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15",
    IPHONE + "Version/17.0 Mobile/15E148 Safari/604.1 Ddg/17.6",
    ANDROID.format("2201117TG") + "Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.29.0-gn",
    ANDROID.format("HUAWEI P40") + "Chrome/114.0.5735.196 HuaweiBrowser/16.0.3.302 Mobile Safari/537.36",
    ANDROID.format("vivo V2227A") + "Chrome/123.0.6312.118 Mobile Safari/537.36 VivoBrowser/25.2.1.0",
    LINUX + "Chrome/136.0.0.0 Safari/537.36 Whale/4.32.315.22",
    WINDOWS + "Chrome/138.0.0.0 Safari/537.36 Ecosia/138",
    WINDOWS + "Chrome/120.0.0.0 Safari/537.36 QQBrowser/13.5",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15 Epiphany/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 SeaMonkey/2.53.20",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; SLCC2; .NET CLR 2.0.50727)",
    "Mozilla/5.0 (compatible; Konqueror/4.14; Linux) KHTML/4.14.2 (like Gecko)",
    "Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.8",
    # in-app browsers
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    IPHONE.rstrip(),
    IPHONE + "Mobile/15E148",
    IPHONE + "Mobile/15E148 Instagram 385.0.0.26.92 (iPhone15,2; iOS 18_5; de_DE; de; scale=3.00; 1179x2556; 747234567)",
    WEBVIEW + "Instagram 385.0.0.47.74 Android (34/14; 450dpi; 1080x2340; samsung; SM-S921B; e1s; s5e9945; de_DE; 748213456)",
    IPHONE + "Mobile/22F76 [FBAN/FBIOS;FBAV/518.0.0.52.100;FBBV/747813829;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/18.5;FBSS/3;FBID/phone;FBLC/de_DE;FBOP/5;FBRV/751234567]",
    WEBVIEW + "[FB_IAB/FB4A;FBAV/518.0.0.63.86;]",
    WEBVIEW + "[FB_IAB/Orca-Android;FBAV/512.1.0.56.109;]",
    IPHONE + "Mobile/15E148 musical_ly_39.5.0 BytedanceWebview/d8a21c6 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/de Region/DE",
    WEBVIEW + "trill_390503 BytedanceWebview/d8a21c6 TikTok/39.5.3",
    IPHONE + "Version/18.5 Mobile/15E148 Safari/604.1 Snapchat/13.45.0.41 (like Safari/8621.2.5.10.10, panda)",
    WEBVIEW + "Snapchat/13.45.0.45 (SM-S921B; Android 14#S921BXXS3AXH5#34; gzip; )",
    WEBVIEW.replace("Safari/537.36 ", "Safari/537.36 XWEB/1340123 MMWEBSDK/20240801 MMWEBID/4823 ") + "MicroMessenger/8.0.50.2701(0x28003253) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64",
    IPHONE + "Mobile/15E148 MicroMessenger/8.0.60(0x18003c2f) NetType/4G Language/zh_CN",
    IPHONE + "Mobile/15E148 Safari Line/15.9.0",
    WEBVIEW + "Line/15.10.0/IAB",
    IPHONE + "Mobile/15E148 [Pinterest/iOS]",
    WEBVIEW + "[Pinterest/Android]",
    IPHONE + "Mobile/15E148 [LinkedInApp]/9.31.2420",
    WEBVIEW + "[LinkedInApp]/4.1.1085",
    IPHONE + "Mobile/15E148 Twitter for iPhone/11.4",
    WEBVIEW + "TwitterAndroid",
    IPHONE + "Mobile/22F76 KAKAOTALK 25.5.0",
    IPHONE + "GSA/373.0.772456379 Mobile/15E148 Safari/604.1",
    WEBVIEW + "GSA/16.25.55.sa.arm64",
    IPHONE + "Mobile/15E148 Viber/25.0.1",
    WEBVIEW + "Viber/25.2.0.0",
    WEBVIEW + "Reddit/Version 2025.25.0/Build 2525000/Android 14",
    WEBVIEW + "NAVER(inapp; search; 2000; 12.13.3)",
    WEBVIEW + "WhatsApp/2.25.18.80",
    IPHONE + "Mobile/15E148 Telegram-iOS/11.12",
    WINDOWS + "Chrome/132.0.6834.210 Electron/34.5.1 Safari/537.36 Teams/25152.2106.3707.6843",
    WINDOWS + "Chrome/130.0.0.0 Electron/33.3.2 Safari/537.36 Slack/4.43.51",
    WINDOWS + "Chrome/126.0.6478.183 Safari/537.36 Valve Steam Client/default/1750000000",
    # televisions, consoles, readers, cars
    "Mozilla/5.0 (SMART-TV; LINUX; Tizen 8.0) AppleWebKit/537.36 (KHTML, like Gecko) 108.0.5359.1/8.0 TV Safari/537.36",
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager",
    ANDROID.format("BRAVIA 4K VH2").replace("15", "10") + "Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 11; AFTKA) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36",
    "Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15",
    "Mozilla/5.0 (PlayStation 4 12.02) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edge/44.19041.4788",
    "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.3.21.0 NintendoBrowser/5.1.0.22474",
    "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Version/5.0 Safari/533.2+ Kindle/3.0+",
    "Mozilla/5.0 (X11; GNU/Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chromium/79.0.3945.130 Chrome/79.0.3945.130 Safari/537.36 Tesla/2025.14.6",
    "Mozilla/5.0 (Linux; Android 13; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/38.3.0.5.48 Chrome/136.0.7103.177 VR Safari/537.36",
    ANDROID.format("CUBOT KINGKONG 9") + "Chrome/125.0.0.0 Mobile Safari/537.36",
    ANDROID.format("Sonic Fever Butterfly") + "Chrome/125.0.0.0 Mobile Safari/537.36",
]  # fmt: skip

BOTS = [
    # a browser's beginning, and nothing behind it
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
    WINDOWS.rstrip(),
    LINUX.rstrip(),
    MAC.rstrip(),
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/5.0 Gecko/20100101 Firefox",
    # tools
    "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522",
    "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.19045; en-US) PowerShell/7.4.1",
    "Dart/3.3 (dart:io)",
    "Mozilla/5.0 (pc-x86_64-linux-gnu) Siege/4.1.6",
    "NotionEmbedder",
    "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/5.15 os/linux arch/amd64",
    # search engines and AI
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ANDROID.format("Nexus 5X Build/MMB29P").replace("15", "6.0.1") + "Chrome/125.0.6422.175 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0.1938.76 Safari/537.36",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; +Claude-User@anthropic.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
    "Mozilla/5.0 (compatible; Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot)",
    # SEO and research
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
    "Mozilla/5.0 (compatible; DotBot/1.2; +https://opensiteexplorer.org/dotbot; help@moz.com)",
    "Mozilla/5.0 (compatible; DataForSeoBot/1.0; +https://dataforseo.com/dataforseo-bot)",
    "Screaming Frog SEO Spider/21.4",
    "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)",
    "Expanse, a Palo Alto Networks company, searches across the global IPv4 space multiple times per day to identify customers' presences on the Internet.",
    "Mozilla/5.0 zgrab/0.x",
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
    # previews
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 Safari/537.36 SkypeUriPreview Preview/0.5",
    # monitors
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "Uptime-Kuma/1.23.16",
    "Blackbox Exporter/0.25.0",
    "kube-probe/1.30",
    "ELB-HealthChecker/2.0",
    "GoogleHC/1.0",
    "check_http/v2.3.3 (monitoring-plugins 2.3.3)",
    "Zabbix",
    "Mozilla/5.0 (compatible; Site24x7)",
    LINUX + "Chrome/125.0.0.0 Safari/537.36 PTST/240601.123456",
    LINUX + "HeadlessChrome/138.0.0.0 Safari/537.36",
    ANDROID.format("moto g power (2022)").replace("15", "11") + "Chrome/131.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
    # libraries and commands
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.3",
    "Python/3.12 aiohttp/3.10.5",
    "python-httpx/0.27.2",
    "Python-urllib/3.11",
    "Go-http-client/1.1",
    "okhttp/4.12.0",
    "Java/17.0.10",
    "Apache-HttpClient/4.5.14 (Java/17.0.10)",
    "axios/1.7.7",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "node",
    "undici",
    "Ruby",
    "libwww-perl/6.77",
    "GuzzleHttp/7",
    "PostmanRuntime/7.43.0",
    "Scrapy/2.11.2 (+https://scrapy.org)",
    "HTTPie/3.2.2",
    "WordPress/6.5.3; https://example.org",
    "Dalvik",
    # readers of feeds
    "FeedFetcher-Google; (+http://www.google.com/feedfetcher.html)",
    "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 42 subscribers)",
    "NetNewsWire (RSS Reader; https://netnewswire.com/)",
    "Tiny Tiny RSS/23.05 (https://tt-rss.org/)",
    # nobody knows their names, but none of them is built as a browser's
    "Mozilla/5.0 (compatible; Acme/1.0)",
    "Mozilla/5.0 (Windows NT 10.0; compatible; Acme) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; Acme/1.0)",
    # nothing that a browser would send
    "x",
    "Mozilla/5.0",
    "Mozilla/5.0 (compatible)",
    "${jndi:ldap://198.51.100.7/a}",
    "() { :; }; /bin/bash -c 'id'",
    "'; DROP TABLE hits; --",
    "<script>alert(1)</script>",
    "1",
]  # fmt: skip


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_current_browsers_and_in_app_browsers_are_people(user_agent: str) -> None:
    assert not is_bot(user_agent)


@pytest.mark.parametrize("user_agent", BOTS)
def test_programs_are_bots(user_agent: str) -> None:
    assert is_bot(user_agent)


@pytest.mark.parametrize("half", [0, 1])
def test_each_half_of_the_shipped_list_agrees_with_isbot(
    user_agents: list[tuple[str, str]], half: int
) -> None:
    # While the rules were made, wrong verdicts were looked at in half 1 alone; half 0 is the check.
    rows = [
        (verdict, user_agent)
        for verdict, user_agent in user_agents
        if zlib.crc32(user_agent.encode("utf-8", "surrogateescape")) & 1 == half
    ]
    agree = sum(is_bot(user_agent) == (verdict == "bot") for verdict, user_agent in rows)
    assert len(rows) > 1900
    assert agree / len(rows) >= 0.985


def test_at_most_half_a_percent_of_the_shipped_lists_people_are_called_bots(
    user_agents: list[tuple[str, str]],
) -> None:
    people = [user_agent for verdict, user_agent in user_agents if verdict == "human"]
    assert sum(map(is_bot, people)) / len(people) <= 0.005


HOSTILE = [
    "a" * MAX_LENGTH,
    "a " * (MAX_LENGTH // 2),
    "(" * MAX_LENGTH,
    "Mozilla/5.0 (Linux; " + "()" * 490,
    "Mozilla/5.0 (" + "compatible; msie " * 60,
    "Mozilla/5.0 (@" + "a" * 1000,
    "Mozilla/5.0 (" + "; +a" * 250,
    "Mozilla/5.0 (x) " + "java;" * 190,
    "a " + "1." * 500 + "x!",
    "Mozilla/5.0 (" + "İ" * 1000,
    "Mozilla/5.0 (" + "like gecko, safari" * 55,
    "z" * 8192,
]


@pytest.mark.parametrize("user_agent", HOSTILE)
def test_no_user_agent_costs_more_than_a_moment(user_agent: str) -> None:
    is_bot(PEOPLE[0])  # the list is loaded
    best = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        is_bot(user_agent)
        best = min(best, time.perf_counter() - start)
    assert best < 500e-6  # ten times what it takes on a slow machine, so that only shape counts


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=2000))
def test_any_text_gets_a_verdict(user_agent: str) -> None:
    assert is_bot(user_agent) in (True, False)


def test_beyond_a_thousand_characters_nobody_is_a_person() -> None:
    assert is_bot(PEOPLE[0] + " x" * MAX_LENGTH)
    assert not is_bot(PEOPLE[0] + " Foo/1.0" * 50)  # beginning and end are looked at


def test_the_operators_additions_and_exceptions_win() -> None:
    bots = Bots(also=["*InHouseMonitor*", r"re:Firefox/\d{3}\."], never=["curl/*"])
    assert bots.is_bot("Mozilla/5.0 (X11; Linux x86_64) InHouseMonitor/1")
    assert bots.is_bot("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    assert not bots.is_bot("curl/8.5.0")
    assert bots.is_bot("Wget/1.21.4")


def test_a_wrong_expression_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"pageviews\.never_bots\[1\].*glob") as caught:
        Bots(also=[], never=["fine*", "re:("])
    assert caught.value.key == "pageviews.never_bots[1]"


def test_rules_filter_bots_unless_told_not_to(
    hit: Callable[..., Hit], rules: Callable[..., Rules]
) -> None:
    curl = hit(user_agent="curl/8.5.0")
    assert rules().decide(curl) is Reason.BOT
    assert isinstance(rules(filter_bots=False).decide(curl), tuple)
    assert isinstance(rules(never_bots=("curl/*",)).decide(curl), tuple)
