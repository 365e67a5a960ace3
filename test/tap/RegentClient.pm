# RegentClient.pm
#    A client that sees every message of the server: protocol 3.0 over a socket,
#    no library between.  What was acknowledged, and what was not, is decided by
#    the messages that arrived: CommandComplete, ReadyForQuery, an error, the end of
#    the connection.  Only for servers that trust it (no password).
package RegentClient;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

# new(host => , port => , user => 'postgres', dbname => 'postgres', options => {application_name => ...})
sub new
{
	my ($class, %o) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $o{host}, PeerPort => $o{port}, Proto => 'tcp', Timeout => 10)
		or die "can't connect to $o{host}:$o{port}: $!";
	my $self = bless { %o, socket => $socket, in => '', parameters => {}, closed => 0 }, $class;
	my %start = (user => $o{user} || 'postgres', database => $o{dbname} || 'postgres', %{ $o{options} || {} });

	binmode $socket;
	$socket->autoflush(1);
	my $body = pack('N', 196608) . join('', map { "$_\0$start{$_}\0" } sort keys %start) . "\0";
	$self->write_raw(pack('N', length($body) + 4) . $body);
	my $r = $self->result(10);
	die "connection refused: $r->{errors}[0]{M}" if @{ $r->{errors} };
	die 'no greeting' unless $r->{ready};
	return $self;
}

sub write_raw
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{closed} = 1 unless defined syswrite($self->{socket}, $bytes);
}

sub message { my ($type, $body) = @_; return $type . pack('N', length($body) + 4) . $body }

sub send_query { my ($self, $sql) = @_; $self->write_raw(message('Q', "$sql\0")) }

# Each statement with Parse, Bind and Execute, one Sync at the end.
sub send_pipeline
{
	my ($self, @statements) = @_;
	my $bytes = '';

	for my $sql (@statements)
	{
		$bytes .= message('P', "\0$sql\0" . pack('n', 0));
		$bytes .= message('B', "\0\0" . pack('nnn', 0, 0, 0));
		$bytes .= message('E', "\0" . pack('N', 0));
	}
	$self->write_raw($bytes . message('S', ''));
}

# COPY ... FROM STDIN: the data and its end
sub send_copy { my ($self, $data) = @_; $self->write_raw(message('d', $data) . message('c', '')) }

sub send_end { my ($self) = @_; $self->write_raw(message('X', '')) }

# What a cancel key does: a connection of its own.
sub cancel
{
	my ($self) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => $self->{host}, PeerPort => $self->{port}, Proto => 'tcp', Timeout => 10)
		or die "can't connect: $!";
	syswrite($s, pack('NNNN', 16, 80877102, $self->{pid}, $self->{key}));
	sysread($s, my $nothing, 1);
	close $s;
}

# The next whole message: (type, body); () if none comes in time; ('', '') at the end of the connection.
sub next_message
{
	my ($self, $timeout) = @_;
	my $end = time() + $timeout;

	while (1)
	{
		if (length($self->{in}) >= 5)
		{
			my ($type, $length) = unpack('a1N', $self->{in});
			if (length($self->{in}) >= 1 + $length)
			{
				my $body = substr($self->{in}, 5, $length - 4);
				substr($self->{in}, 0, 1 + $length) = '';
				return ($type, $body);
			}
		}
		return ('', '') if $self->{closed};
		my $left = $end - time();
		return () unless IO::Select->new($self->{socket})->can_read($left > 0 ? $left : 0);
		my $got = sysread($self->{socket}, $self->{in}, 65536, length $self->{in});
		$self->{closed} = 1 unless $got;
	}
}

sub fields { my ($body) = @_; return { map { /^(.)(.*)$/s ? ($1 => $2) : () } split /\0/, $body } }

sub row
{
	my ($body) = @_;
	my $n = unpack('n', $body);
	my $at = 2;
	my @values;
	for (1 .. $n)
	{
		my $length = unpack('N', substr($body, $at, 4));
		$at += 4;
		if ($length == 0xFFFFFFFF) { push @values, undef; next }
		push @values, substr($body, $at, $length);
		$at += $length;
	}
	return \@values;
}

# Reads until ReadyForQuery, the end of the connection, or the timeout:
#   { ready => 'I'|'T'|'E'|undef, tags => [], errors => [{C,M,D,H}], notices => [], rows => [[]], closed => 0|1 }
# With { stop_at => 'C' } it stops after the first message of that type, too.
sub result
{
	my ($self, $timeout, %o) = @_;
	my $end = time() + ($timeout // 20);
	my %r = (tags => [], errors => [], notices => [], rows => [], ready => undef, closed => 0);

	while (my ($type, $body) = $self->next_message($end - time()))
	{
		if ($type eq '') { $r{closed} = 1; last }
		elsif ($type eq 'C') { push @{ $r{tags} }, substr($body, 0, -1) }
		elsif ($type eq 'E') { push @{ $r{errors} }, fields($body) }
		elsif ($type eq 'N') { push @{ $r{notices} }, fields($body) }
		elsif ($type eq 'D') { push @{ $r{rows} }, row($body) }
		elsif ($type eq 'K') { @$self{qw(pid key)} = unpack('NN', $body) }
		elsif ($type eq 'S') { my ($k, $v) = split /\0/, $body; $self->{parameters}{$k} = $v }
		elsif ($type eq 'Z') { $r{ready} = $body; last }
		last if $o{stop_at} && $type eq $o{stop_at};
	}
	return \%r;
}

sub query
{
	my ($self, $sql, $timeout) = @_;
	$self->send_query($sql);
	my $r = $self->result($timeout);
	die "no answer in time: $sql" unless defined $r->{ready} || $r->{closed};
	return $r;
}

# The first value; dies on an error.
sub value
{
	my ($self, $sql) = @_;
	my $r = $self->query($sql);
	die "query failed: $sql: $r->{errors}[0]{M}" if @{ $r->{errors} };
	die "connection lost: $sql" if $r->{closed};
	return $r->{rows}[0] ? $r->{rows}[0][0] : undef;
}

sub sqlstate { my ($r) = @_; return @{ $r->{errors} } ? $r->{errors}[0]{C} : '' }

# Was a transaction acknowledged?  Any completed command after which the server was ready.
sub is_acknowledged { my ($r) = @_; return defined $r->{ready} && !@{ $r->{errors} } ? 1 : 0 }

sub DESTROY { my ($self) = @_; close $self->{socket} if $self->{socket} }

1;
