"""Words of the pages that stand for something else: problems, states, kinds. Other words stand in the templates."""

from __future__ import annotations

from shared.catalogue.row import Row
from shared.smarttag.report.labels import Label
from shared.smarttag.report.view import user_data, who

PEOPLE = Label("人物", "People")
DELIVERY_STATES = {
    "waiting": Label("等待中", "waiting"),
    "sending": Label("投递中", "sending"),
    "delivered": Label("已送达", "delivered"),
    "skipped": Label("无需投递", "not wanted"),
    "gone": Label("已停用", "gone"),
    "dead": Label("死信", "dead"),
}
ATTEMPTS = {
    "delivered": Label("已送达", "delivered"),
    "failed": Label("失败", "failed"),
    "gone": Label("已停用", "gone"),
    "refused": Label("地址不可达", "address refused"),
    "none": Label("未发送", "not sent"),
    "lost": Label("中断", "interrupted"),
}
HEALTH = {
    "ok": Label("正常", "ok"),
    "failing": Label("失败中", "failing"),
    "spared": Label("暂停投递", "spared"),
    "gone": Label("已停用（410）", "gone (410)"),
    "faulty": Label("配置有误", "faulty entry"),
    "disabled": Label("未启用", "disabled"),
}
TASKS = {
    "publish": Label("发布", "publish"),
    "fanout": Label("通知全体", "tell everybody"),
    "delivery": Label("投递", "deliver"),
    "erase": Label("清除", "erase"),
}
# What came of the tasks of a sweep.
SWEPT = DELIVERY_STATES | {
    "told": Label("已通知", "told"),
    "settled": Label("已发布", "published"),
    "erased": Label("已清除", "erased"),
    "refused": Label("已拒绝", "refused"),
    "retry": Label("待重试", "to be retried"),
    "suspended": Label("暂缓", "held"),
    "claimed_elsewhere": Label("他处执行中", "done elsewhere"),
    "already_ended": Label("早已完成", "done before"),
    "out_of_time": Label("留待下次", "left to the next"),
    "failed": Label("意外中断", "broken off"),
}
PROBLEM = Label(
    "出错了。请把下面的请求 ID 告诉运维人员。", "Something went wrong. Tell your operator the request ID below."
)
# By the slug of the problem type; the words of the API are for programmers.
PROBLEMS = {
    "forbidden": Label(
        "没有执行：请从本站页面提交，并使用 write 权限的令牌登录。",
        "Nothing was done: submit forms from these pages, signed in with a token of scope write.",
    ),
    "pages-off": Label(
        "页面尚未启用：请运维人员设置 LINK_KEYS。", "Pages are off: ask your operator to set LINK_KEYS."
    ),
    "malformed-request": Label("请求有误：请返回上一页修改。", "That cannot be asked for: go back and correct it."),
    "not-published": Label(
        "这里没有这个作业的内容：它尚未发布，或已被删除。",
        "Nothing is stored here for this job: it is not published, or was erased.",
    ),
    "job-erased": Label("这个作业的全部内容已被清除。", "Everything of this job was erased."),
    "no-such-route": Label("没有这个文件。", "There is no such file."),
    "no-such-link": Label(
        "打不开：链接有误、已过期，或不含这个文件。请向发给您的人要一个新的。",
        "Nothing opens here: the link is wrong, has expired, or leaves this file out. Ask its sender for a new one.",
    ),
    "no-such-delivery": Label("没有这样的投递。", "There is no such delivery."),
    "throttled": Label("请求过于频繁，请稍后重试。", "Too many requests; try again in a moment."),
    "unavailable": Label(
        "云服务暂时没有响应，请稍后重试。", "A cloud service is not available; try again in a moment."
    ),
    "timed-out": Label("云服务超时，请稍后重试。", "A cloud service took too long; try again in a moment."),
    "subscribers-broken": Label(
        "订阅者名单无法读取，请运维人员修复。", "The list of subscribers is unreadable; ask your operator."
    ),
}


def headline(row: Row) -> str:
    """Return what to call a job: its title, else its user data, else who is in it, else its ID."""
    named = [person.name for person in row.persons if person.category != "unknown"]
    choices = (row.title or "", user_data(row.userData), who(named))
    return next((choice for choice in choices if choice.strip()), row.jobId)
