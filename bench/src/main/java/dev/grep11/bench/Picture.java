package dev.grep11.bench;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;

/**
 * Latency over load as SVG: a panel for each operation, a point for each number of calls in flight,
 * the median as a line and the 99th percentile as a dashed one above it.
 */
final class Picture {
  private static final int WIDTH = 460;
  private static final int HEIGHT = 300;
  private static final int LEFT = 62;
  private static final int BOTTOM = 44;
  private static final int TOP = 34;
  private static final int RIGHT = 18;
  private static final int HEADER = 34;

  /** Whose curves are drawn, in colours that differ also without colour vision (Okabe, Ito). */
  private enum Shown {
    INPROCESS("inprocess", "in process", "#009e73"),
    GATEWAY("gateway", "gateway", "#0072b2"),
    P11KIT("p11kit", "p11-kit server", "#d55e00");

    final String label;
    final String title;
    final String colour;

    Shown(String label, String title, String colour) {
      this.label = label;
      this.title = title;
      this.colour = colour;
    }
  }

  private final List<Line> results;
  private final StringBuilder svg = new StringBuilder();
  private final Formatter out = new Formatter(svg, Locale.ROOT);

  /**
   * @param results lines with op, peer, inflight, rate, p50_us and p99_us
   */
  Picture(List<Line> results) {
    this.results = List.copyOf(results);
  }

  String svg() {
    var operations = results.stream().map(line -> line.text("op")).distinct().toList();
    int rows = (operations.size() + 1) / 2;
    int width = 2 * WIDTH;
    int height = rows * HEIGHT + HEADER;
    out.format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\""
            + " font-family=\"sans-serif\" font-size=\"11\">%n",
        width, height, width, height);
    out.format("<title>Latency over load</title>%n");
    out.format("<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>%n", width, height);
    legend();
    for (int i = 0; i < operations.size(); i++) {
      panel(operations.get(i), i % 2 * WIDTH, HEADER + i / 2 * HEIGHT);
    }
    out.format("</svg>%n");
    return svg.toString();
  }

  private void legend() {
    int x = LEFT;
    for (var peer : Shown.values()) {
      if (results.stream().anyMatch(line -> line.text("peer").equals(peer.label))) {
        out.format(
            "<rect x=\"%d\" y=\"14\" width=\"18\" height=\"4\" fill=\"%s\"/>%n", x, peer.colour);
        out.format("<text x=\"%d\" y=\"20\">%s</text>%n", x + 24, peer.title);
        x += 130;
      }
    }
    out.format("<text x=\"%d\" y=\"20\">line: p50, dashed: p99; numbers: in flight</text>%n", x);
  }

  private List<Line> points(String operation, Shown peer) {
    // In process one line for each number of threads with keys of the gateway's visibility.
    var visibility =
        results.stream()
            .filter(line -> line.text("op").equals(operation))
            .findFirst()
            .map(line -> line.text("visibility"))
            .orElse("");
    return results.stream()
        .filter(line ->
            line.text("op").equals(operation)
                && line.text("peer").equals(peer.label)
                && line.text("visibility").equals(visibility))
        .sorted(Comparator.comparingDouble(line -> line.number("inflight")))
        .toList();
  }

  private void panel(String operation, int x, int y) {
    var all = new ArrayList<Line>();
    for (var peer : Shown.values()) {
      all.addAll(points(operation, peer));
    }
    double most = all.stream().mapToDouble(line -> line.number("rate")).max().orElse(1);
    double step = step(most / 4);
    double end = Math.ceil(most / step) * step;
    double low = all.stream().mapToDouble(line -> line.number("p50_us")).min().orElse(1);
    double high = all.stream().mapToDouble(line -> line.number("p99_us")).max().orElse(10);
    int first = (int) Math.floor(Math.log10(Math.max(low, 1)));
    int last = Math.max(first + 1, (int) Math.ceil(Math.log10(Math.max(high, 10))));
    var axes = new Axes(x, y, end, first, last);
    out.format(
        "<text x=\"%d\" y=\"%d\" font-size=\"13\" font-weight=\"bold\">%s</text>%n",
        x + LEFT, y + 20, operation);
    for (int decade = first; decade <= last; decade++) {
      double at = axes.y(Math.pow(10, decade));
      out.format("<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>%n", x + LEFT, at, x + WIDTH - RIGHT);
      out.format(
          "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>%n",
          x + LEFT - 6, at + 4, duration(decade));
    }
    for (double rate = 0; rate <= end; rate += step) {
      out.format(
          "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%,.0f</text>%n",
          axes.x(rate), y + HEIGHT - BOTTOM + 16, rate);
    }
    out.format(
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations a second</text>%n",
        x + (LEFT + WIDTH - RIGHT) / 2, y + HEIGHT - BOTTOM + 32);
    for (var peer : Shown.values()) {
      var points = points(operation, peer);
      if (!points.isEmpty()) {
        curve(axes, points, "p99_us", peer.colour, true);
        curve(axes, points, "p50_us", peer.colour, false);
      }
    }
  }

  private void curve(Axes axes, List<Line> points, String key, String colour, boolean dashed) {
    var path = new StringBuilder();
    for (var point : points) {
      path.append(
          String.format(
              Locale.ROOT,
              "%s%.1f %.1f",
              path.isEmpty() ? "M" : "L",
              axes.x(point.number("rate")),
              axes.y(point.number(key))));
    }
    out.format(
        "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\"%s/>%n",
        path, colour, dashed ? "1" : "2", dashed ? " stroke-dasharray=\"4 3\"" : "");
    for (var point : points) {
      double x = axes.x(point.number("rate"));
      double y = axes.y(point.number(key));
      out.format(
          "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>%n",
          x, y, dashed ? "2" : "3", colour);
      if (!dashed) {
        out.format(
            "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" font-size=\"9\">%s</text>%n",
            x + 4, y + 11, colour, point.text("inflight"));
      }
    }
  }

  /** The next of 1, 2, 5, 10, 20, ... */
  private static double step(double atLeast) {
    double unit = Math.pow(10, Math.floor(Math.log10(Math.max(atLeast, 1))));
    double units = atLeast / unit;
    return unit * (units <= 1 ? 1 : units <= 2 ? 2 : units <= 5 ? 5 : 10);
  }

  private static String duration(int decade) {
    return switch (decade) {
      case 0 -> "1 us";
      case 1 -> "10 us";
      case 2 -> "100 us";
      case 3 -> "1 ms";
      case 4 -> "10 ms";
      case 5 -> "100 ms";
      default -> "10^" + (decade - 6) + " s";
    };
  }

  /** Linear to the right, logarithmic upwards. */
  private record Axes(int left, int top, double end, int first, int last) {
    double x(double rate) {
      return left + LEFT + rate / end * (WIDTH - LEFT - RIGHT);
    }

    double y(double micros) {
      double share = (Math.log10(Math.max(micros, 1)) - first) / (last - first);
      return top + HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    }
  }
}
