package dev.grep11.gateway.doctor;

import com.sun.management.HotSpotDiagnosticMXBean;
import dev.grep11.gateway.hsm.Cryptoki;
import dev.grep11.gateway.hsm.NativeCryptoki;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Optional;
import java.util.function.Function;

/**
 * What is looked at beside the configuration. A test puts faults in its place.
 *
 * @param java that runs this
 * @param flag the value of a flag of the JVM; empty where it has no such flag
 * @param proc where the kernel tells of processes and limits: proc(5)
 * @param program main class by which the command line of a gateway is known
 * @param space left on the file system of a path
 * @param module loads a PKCS #11 library
 * @param clock of this host
 */
public record Surroundings(
    Runtime.Version java,
    Function<String, Optional<String>> flag,
    Path proc,
    String program,
    Space space,
    Function<Path, Cryptoki> module,
    InstantSource clock) {

  /** How many bytes this user may still write. */
  public interface Space {
    long left(Path directory) throws IOException;
  }

  /**
   * As they are.
   *
   * @param program main class of a gateway
   */
  public static Surroundings ofThisProcess(Class<?> program) {
    return new Surroundings(
        Runtime.version(),
        Surroundings::flag,
        Path.of("/proc"),
        program.getName(),
        directory -> Files.getFileStore(directory).getUsableSpace(),
        NativeCryptoki::load,
        InstantSource.system());
  }

  private static Optional<String> flag(String name) {
    var machine = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
    try {
      return Optional.ofNullable(machine).map(known -> known.getVMOption(name).getValue());
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }
}
