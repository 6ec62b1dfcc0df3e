package chromiumtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Open opens a page of another person's in a Chromium that Launch has started: a browser
// context of its own, in front, which is not throttled as what lies behind another window
// would be. said hears what the page's script passes to window.say, broke what it throws.
// The page ends with the browser.
func Open(browser context.Context, url string, said func(text string, at time.Time), broke func(error)) (context.Context, error) {
	heard := func(event any) {
		switch e := event.(type) {
		case *runtime.EventBindingCalled:
			if e.Name == "say" {
				said(e.Payload, time.Now())
			}
		case *runtime.EventExceptionThrown:
			broke(errors.New(e.ExceptionDetails.Text))
		}
	}
	page, _ := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(heard)) // ends with the browser
	if _, err := chromedp.Call(page, runtime.AddBinding, runtime.AddBindingParams{Name: "say"}); err != nil {
		return nil, err
	}
	if _, err := chromedp.Call(page, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		return nil, err
	}
	if err := chromedp.Do(page, chromedp.Navigate(url)); err != nil {
		return nil, err
	}
	isInFront, err := chromedp.Run(page, chromedp.Evaluate[bool](`document.visibilityState === 'visible' && document.hasFocus()`))
	if err == nil && !isInFront {
		err = fmt.Errorf("%s is not in front", url)
	}
	return page, err
}
