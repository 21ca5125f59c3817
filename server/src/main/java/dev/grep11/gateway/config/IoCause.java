package dev.grep11.gateway.config;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Why a file could not be used, for people: the JDK's messages are often the file's name alone. */
public final class IoCause {
  private IoCause() {}

  /** One clause, without the class of the exception. */
  public static String of(IOException failure) {
    return switch (failure) {
      case NoSuchFileException missing -> "there is no " + missing.getFile();
      case AccessDeniedException denied -> "permission denied for " + denied.getFile();
      case FileAlreadyExistsException there -> there.getFile() + " is there already";
      case FileSystemException other when other.getReason() != null ->
          other.getFile() + ": " + other.getReason();
      case CharacterCodingException _ -> "it is no UTF-8 text";
      case IOException other -> String.valueOf(other.getMessage());
    };
  }
}
