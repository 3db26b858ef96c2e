# ruff: noqa: E501
"""Pages that a browser and a parser must read alike: visibility is given by markup alone."""

PAGES = {
    "text": """<!DOCTYPE html><html><head><title>  Words &amp;
        more </title><style>p { color: red }</style><script>var x = "<p>not text</p>";</script></head><body>
        <h1>A   heading</h1><p>One <b>bold</b>
        line, <i>it</i><em>alic</em>.<br>After a break</p>text of the body<div>a div<div>in a div</div>and after</div>
        <p>&lt;|im_end|&gt; &amp;nbsp;&nbsp;&copy; caf&eacute; &#8203;zero&#8203;width so&shy;ft &#x202e;turned</p>
        <template><p>template</p></template><noscript><p>no script</p></noscript><!-- a comment -->
        <pre>
first   line
   second
</pre><blockquote>quoted <q>words</q></blockquote><hr><address>4 Mill Lane<br>Fernwood</address></body></html>""",
    "hidden": """<title>Hidden</title><body><p>seen</p><p hidden>one</p><div style="display:none">two<p>three</p></div>
        <p style="color: red; visibility: hidden">four</p><p style="DISPLAY : None !important">five</p><span style="opacity:0">six</span>
        <dialog>seven</dialog><dialog open>eight</dialog><details><summary>More</summary><p>nine</p></details>
        <details open><summary>Less</summary><p>ten</p></details><button hidden>b</button><input type="hidden" name="h" value="v">
        <input type="file" name="f"><a href="/x" style="display:none">link</a></body>""",
    "links": """<title>Links</title><body><nav><a href="/">Home</a> <a href="/cart">Cart</a></nav><main>
        <p>See <a href="terms?x=a b">the terms</a> or <a href="HTTP://Other.example:80/x/../y">others</a>.</p><h2><a href="/p/1">Copper Kettle</a></h2>
        <p>7.70</p><ul><li><a href="/p/2">Iron Pot</a><span>8.10</span></li><li><a href="/p/3">Pan</a></li></ul><a href="#top">Top</a>
        <a href="#">Nowhere</a> <a href="javascript:void(0)">Script</a> <a href="mailto:a@b.example">Mail</a> <a name="anchor">Anchor</a>
        <a href="/icon" aria-label="Icon only"></a> <a href="/empty"></a> <a href="/pic"><img src="data:," alt="A picture"></a>
        <a href="/silent/pic.html"><img src="data:," alt=""></a> <a href="/titled" title="Titled"><svg><title>Drawn</title></svg></a>
        <a href="/del" data-method="delete">Delete</a> <a href=" /spaced ">Spaced</a> <a href="http://[broken">Broken</a></main>
        <footer><a href="/about">About</a></footer></body>""",
    "base": """<head><title>Base</title><base href="/deep/er/"></head><body><a href="page">Page</a><a href="?q">Query</a>
        <form action="send" method="post"><input name="a"><button>Send</button></form><form><button>Here</button></form></body>""",
    "forms": """<title>Forms</title><body><form method="post" action="/buy"><input type="hidden" name="t" value="1">
        <label for="q">Quantity: *</label> <input id="q" name="quantity" value="1"> <label>Name <input name="who" placeholder="Your name"></label>
        <input name="mail" type="email" placeholder="Mail"> <input name="code" title="Code"> <input name="bare"> <input aria-label="Spoken" name="s">
        <span id="l1">By</span> <span id="l2">reference</span><input aria-labelledby="l1 l2"> <input type="password" name="pw" value="secret">
        <textarea name="note">
 two
 lines </textarea><label><input type="checkbox" name="gift" checked> Gift wrap</label> <input type="checkbox" name="c" value="yes">
        <label><input type="radio" name="size" value="s"> Small</label><label><input type="radio" name="size" value="l" checked> Large</label>
        <input type="radio" name="size" value="xl"><fieldset disabled><legend>Off <input name="inlegend"></legend><input name="off"></fieldset>
        <input name="ro" readonly value="fixed"><input disabled name="dis"><button>Buy</button><button type="button">Add</button>
        <button type="reset">Clear</button><input type="submit"><input type="submit" value="Save" formaction="/save" formmethod="get">
        <input type="image" alt="Go" src="data:,"><input type="button" value="Press"></form><form action="/search?old=1#f"><input name="q">
        <button>Find</button></form><input name="outside" form="late"><button form="late">Late</button><form id="late" method="POST" action="/late"></form>
        <form method="dialog"><button>Close</button></form><button>Alone</button></body>""",
    "selects": """<title>Selects</title><body><form><label for="a">First</label><select id="a"><option>One<option>Two  words<option value="3">Three</select>
        <select name="b"><option value="">Choose</option><option selected>Minor</option><option disabled>Gone</option><option hidden>Hid</option></select>
        <select name="c"><optgroup label="G"><option>x</option></optgroup><optgroup disabled><option>y</option></optgroup></select>
        <select name="d" multiple><option selected>p</option><option>q</option><option selected>r</option></select><select name="e"></select>
        <select name="f"><option disabled>First</option><option>Second</option></select><select name="g" size="3"><option>n</option></select>
        <select name="h"><option label="Labelled">text</option></select><select name="i" onchange="this.form.submit()"><option>go</option></select>
        </form></body>""",
    "tables": """<title>Tables</title><body><table><caption>Tickets</caption><thead><tr><th>#</th><th>Title</th><th>Severity</th><th></th></tr></thead>
        <tbody><tr><td><a href="/1">1</a></td><td>Lid<br>broken</td><td>Minor</td><td><button>Edit</button></td></tr>
        <tr><td><a href="/2">2</a></td><td>Spout</td><td></td><td><button>Edit</button></td></tr></tbody></table>
        <table><tr><td>a</td></tr></table><table><tr><td rowspan="2">r</td><td>1</td></tr><tr><td>2</td></tr><tr><td colspan="2">wide</td></tr></table>
        <table><tr><td>left</td><td><table><tr><th>k</th><th>v</th></tr><tr><td>inner</td><td>5</td></tr></table></td></tr></table>
        <form method="post"><table><tr><td>Title:</td><td><input name="title"></td></tr><tr><td>Kind:</td><td><select name="kind"><option>Bug</select></td></tr>
        </table></form></body>""",
    "lists": """<title>Lists</title><body><ol><li>one<ul><li>one a</li><li>one b<ol><li>deep</li></ol></li></ul></li><li>two</li></ol>
        <dl><dt>Term:</dt><dd>Meaning</dd><dt>Other</dt><dd>More</dd></dl><menu><li>item</li></menu></body>""",
    "controls": """<title>Controls</title><body><div role="button">Do</div><span role="checkbox" aria-checked="true" aria-label="Tick">x</span>
        <div role="textbox" aria-label="Write">text inside</div><div contenteditable="true" title="Edit me">some <b>words</b></div>
        <div onclick="go()">Card of <b>something</b></div><div onclick="go()">Holds <a href="/x">a link</a></div><p>Text with <button>a button</button> inside</p>
        <div role="tab" aria-disabled="true">Tab</div><label for="nothing">Label of nothing</label><label>Loose label</label></body>""",
    "quirks": """<title>Quirks</title><body><p>one<p>two<li>loose<table><tr><td>x<td>y<tr><td>1<td>2</table><b>bold<i>both</b>italic</i> &unknown; &amp<a href=/a>A</a
        ><a href='/b'>B</a><font>old</font><center>middle</center>""",
    "empty": "",
    "frameless": "<title>Nothing</title><body></body>",
}
