// Takes calls before the client is there: each is kept in `trackmate.q` as [method, arguments].
(function (page) {
  if (page.trackmate) return;
  var calls = [];
  var stub = { q: calls };
  'track page identify group alias reset flush consent'.split(' ').forEach(function (method) {
    stub[method] = function () {
      calls.push([method, arguments]);
    };
  });
  page.trackmate = stub;
})(window);
